"""A Docker Engine of our own: its own directories and socket, no network set-up, an image made of a static busybox.

It touches nothing of an Engine that the machine may already run. The directory is short and under /tmp, since the paths
of its sockets must fit into 107 bytes.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import tempfile

from .wait import wait_until

IMAGE = "compat-busybox"


class Engine:
    def __init__(self, log_directory, live_restore=False, environment=None):
        """With `live_restore`, containers go on while the Engine is away; `environment` is what its log drivers look at."""
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sgd-", dir="/tmp"))
        self.host = f"unix://{self.root}/docker.sock"
        self.log = open(pathlib.Path(log_directory) / "dockerd.log", "wb")
        self.process, self.live_restore, self.environment = None, live_restore, {**os.environ, **(environment or {})}

    def start(self):
        self._start_daemon()
        self._import_image()
        return self

    def _start_daemon(self):
        at = self.root
        self.process = subprocess.Popen(
            ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", f"--host={self.host}",
             f"--data-root={at}/data", f"--exec-root={at}/exec", f"--pidfile={at}/docker.pid",
             f"--live-restore={str(self.live_restore).lower()}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment,
        )
        wait_until("dockerd answers", lambda: self.docker("version", check=False).returncode == 0, 60, 0.2)

    def restart(self, kill=False):
        """Ends the daemon, with kill -9 where asked for, and starts it again; with live_restore the containers go on."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(60)
        if kill:
            self._forget_containerd()
        self._start_daemon()

    def _forget_containerd(self):
        """It dies with a killed daemon; where nobody reaps it at once, the next daemon would wait for its answer."""
        file = self.root / "exec" / "containerd" / "containerd.pid"
        status = pathlib.Path(f"/proc/{file.read_text().strip()}/stat")

        def has_ended():
            try:
                return status.read_text().rpartition(")")[2].split()[0] in "ZX"
            except FileNotFoundError:
                return True

        wait_until("containerd has ended", has_ended)
        file.unlink()

    def _import_image(self):
        archive = self.root / "image.tar"
        busybox = shutil.which("busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        with tarfile.open(archive, "w") as tar:
            tar.add(busybox, "bin/busybox")
            for applet in applets:
                if applet != "busybox":
                    link = tarfile.TarInfo(f"bin/{applet}")
                    link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                    tar.addfile(link)
        self.docker("import", str(archive), IMAGE)
        archive.unlink()

    def docker(self, *arguments, timeout=60, check=True):
        # the user's own client settings (contexts, credential helpers) have no say here
        environment = {**os.environ, "DOCKER_CONFIG": str(self.root / "client"), "DOCKER_HOST": self.host}
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=environment
        )
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(arguments[:3])} ended with {done.returncode}: {done.stderr.strip()}")
        return done

    def run(self, to, script, *options, name=None, log_options=None, mount=None, wait=True, timeout=120):
        """Runs `sh -c SCRIPT` in a container that logs to a forward port of 127.0.0.1 or to a Unix socket; returns its full id.

        With wait=True the container has ended, and with blocking delivery so has its sending, when this returns.
        """
        address = f"127.0.0.1:{to}" if isinstance(to, int) else f"unix://{to}"
        chosen = {"fluentd-address": address, **(log_options or {})}
        return self.launch("fluentd", chosen, script, *options, name=name, mount=mount, wait=wait, timeout=timeout)

    def launch(self, driver, log_options, script, *options, name=None, mount=None, wait=True, timeout=120):
        """Runs `sh -c SCRIPT` in a container with this log driver and its options; returns its full id."""
        arguments = ["run", "--detach", "--network=none", f"--log-driver={driver}"]
        arguments += [f"--log-opt={key}={value}" for key, value in log_options.items()]
        arguments += [f"--name={name}"] if name else []
        arguments += [f"--volume={mount}:/mnt"] if mount else []
        container = self.docker(*arguments, *options, IMAGE, "sh", "-c", script, timeout=timeout).stdout.strip()
        if wait:
            self.wait(container, timeout)
        return container

    def wait(self, container, timeout=120):
        """Waits for the container's end."""
        code = self.docker("wait", container, timeout=timeout).stdout.strip()
        if code != "0":
            raise AssertionError(f"container {container[:12]} ended with {code}")

    def panicked(self, module):
        """Whether the daemon has ended by itself, by a panic in this module of its own; its last words take a moment."""
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            return False
        said = pathlib.Path(self.log.name).read_text(errors="replace")
        return module in said.partition("panic: ")[2]

    def remove(self, *containers):
        # `rm -f` may hang on a log driver whose receiver is gone; stopping the Engine ends such a one, too
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.docker("rm", "--force", "--volumes", *containers, timeout=15, check=False)

    def close(self):
        if self.process and self.process.poll() is None:
            with contextlib.suppress(Exception):
                if left := self.docker("ps", "--all", "--quiet", timeout=10).stdout.split():
                    self.remove(*left)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for pid in self._left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in self._mounts():
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)
        self.log.close()

    def _left_behind(self):
        """containerd and its shims outlive a killed dockerd; their command lines name our directory."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().split(b"\0")
                if command[0].endswith((b"containerd", b"containerd-shim-runc-v2")) and any(
                    str(self.root).encode() in word for word in command
                ):
                    yield int(process.name)

    def _mounts(self):
        """Innermost first."""
        with open("/proc/self/mounts") as mounts:
            points = [line.split()[1] for line in mounts]
        return sorted((point for point in points if point.startswith(f"{self.root}/")), key=len, reverse=True)


@contextlib.contextmanager
def around(case, **options):
    """What a suite takes over as its own `around`: one Engine for all its tests."""
    engine = Engine(case.directory, **options)
    try:
        yield engine.start()
    finally:
        engine.close()
