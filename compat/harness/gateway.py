"""A gateway process: its configuration, ports, logs and ends.

Every port is 0 in the first configuration; what the gateway chose is read from the lines it prints. A gateway that a
test restarts must come back on the same ports: such a one is made with `fixed_ports=True` and gets ports from below the
range the kernel hands out to clients, because a client that retries a dead port inside that range can be given that very
port as its own and then talks to itself.
"""

import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import urllib.request

from .log_service import LogService
from .wait import equal, wait_until

# "  forward      127.0.0.1:24224", "  log service  127.0.0.1:24280  project sluicegate"
LISTENS = re.compile(r"^\s+(\S.*?)\s{2,}(?:\S+://)?([0-9.]+|\[[0-9a-f:]+\]):(\d+)\b")


def free_port():
    """A free TCP port below the ephemeral range."""
    for _ in range(1000):
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def merged(base, over):
    """`base` with the keys of `over` laid on it, map by map; a value None takes a key out."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class Gateway:
    def __init__(self, binary, directory, config=None, fixed_ports=False, environment=None, wrapper=(), pass_fds=()):
        self.binary, self.directory, self.wrapper = str(binary), pathlib.Path(directory), list(wrapper)
        self.pass_fds = pass_fds
        self.data_dir = self.directory / "data"
        self.environment = {**os.environ, "NO_COLOR": "1", **(environment or {})}
        self.directory.mkdir(parents=True, exist_ok=True)
        port = free_port if fixed_ports else lambda: 0
        listening = {
            "data_dir": str(self.data_dir),
            "inputs": {"forward": {"type": "forward", "listen": f"127.0.0.1:{port()}"}},
            "log_service": {"listen": f"127.0.0.1:{port()}"},
            "operations": {"listen": f"127.0.0.1:{port()}"},
        }
        self.config = merged(listening, config or {})
        self.process, self.ports, self.printed, self._log = None, {}, [], None

    # --- life

    def start(self, wait=True, arguments=None):
        """Starts it and, unless told otherwise, waits until it is ready. May be called again after it has ended."""
        self.ports, self.printed = {}, []
        if arguments is None:
            arguments = ["run", "--config", str(self._write_config())]
        # opened once: the reader of a former process may still write to it
        self._log = self._log or open(self.directory / "gateway.log", "ab")
        self.process = subprocess.Popen(
            [*self.wrapper, self.binary, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, env=self.environment, pass_fds=self.pass_fds,
        )
        self._reader = threading.Thread(target=self._read_lines, args=(self.process, self._log), daemon=True)
        self._reader.start()
        if wait:
            wait_until("the gateway is ready", self._ready_or_dead, 30, 0.02)
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.log_text()[-600:]}")
        return self

    def _write_config(self):
        path = self.directory / "gateway.yaml"
        path.with_suffix(".new").write_text(json.dumps(self.config, indent=1))  # JSON is YAML
        return path.with_suffix(".new").rename(path)

    def reload(self, config):
        """Lays `config` on the configuration and tells the running gateway to read it again."""
        self.config = merged(self.config, config)
        self._write_config()
        self.signal(signal.SIGHUP)

    def _read_lines(self, process, log):
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            self.printed.append(line)
            if match := LISTENS.match(line):
                self.ports[match[1]] = int(match[3])
            log.write(raw)
            log.flush()

    def _ready_or_dead(self):
        return self.process.poll() is not None or ("operations" in self.ports and self.http("/readyz")[0] == 200)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and away it is."""
        self.process.kill()
        self.process.wait(10)
        self._reader.join(5)

    def take_over(self, timeout=30):
        """Starts a successor of the running gateway (`run --take-over`); returns the exit code of the former one."""
        former, reader = self.process, self._reader
        try:
            self.start(arguments=["run", "--take-over", "--config", str(self._write_config())])
            code = former.wait(timeout)
        finally:
            if former.poll() is None:
                former.kill()
                former.wait(10)
        reader.join(5)
        return code

    def terminate(self, timeout=30):
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout=30):
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def memory(self):
        """Bytes of memory that the process holds."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def running(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._log:
            self._reader.join(5)
            self._log.close()
            self._log = None

    # --- ports and what is behind them

    @property
    def forward(self):
        return self.ports["forward"]

    @property
    def operations(self):
        return f"127.0.0.1:{self.ports['operations']}"

    def http(self, path, timeout=5):
        """(status, text) of the operations port."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.operations}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """Every sample of /metrics: text before the value -> float."""
        lines = (line for line in self.http("/metrics")[1].splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def metric(self, name):
        """Sum of one metric over its labels; 0 when it has no sample yet."""
        return sum(value for sample, value in self.metrics().items() if sample.partition("{")[0] == name)

    def access_key(self):
        key_id, secret = (self.data_dir / "log-service" / "access-key").read_text().split()
        return key_id, secret

    def log_service(self):
        """Queries through the official SDK."""
        return LogService(self.ports["log service"], *self.access_key())

    def command(self, *arguments, timeout=60, check=True, text_in=None):
        """Runs `sluicegate ARGUMENTS`; returns the finished process with its output as text."""
        done = subprocess.run(
            [self.binary, *arguments], input=text_in, capture_output=True, text=True, timeout=timeout, env=self.environment,
            stdin=subprocess.DEVNULL if text_in is None else None,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"sluicegate {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done

    def query(self, query, *arguments):
        """`sluicegate query QUERY --json`, one dict a line."""
        done = self.command("query", query, "--json", "--operations", self.operations, *arguments)
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def records(self, count, query="*"):
        """Waits until so many records are there that match, and gives them: no more, no fewer."""
        logs = self.log_service()
        wait_until(f"{count} records of {query}", lambda: logs.holds(count, query), 30, 0.1)
        found = self.query(query, "--limit", str(2 * count + 100))
        equal(f"records of {query}", len(found), count)
        return found

    def status(self):
        """(exit code, text) of `sluicegate status`."""
        done = self.command("status", "--operations", self.operations, check=False)
        return done.returncode, done.stdout + done.stderr

    def log_text(self):
        return (self.directory / "gateway.log").read_text(errors="replace")
