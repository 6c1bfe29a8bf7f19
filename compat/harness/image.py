"""The image that docker/build makes, on an Engine of our own, and containers of it."""

import contextlib
import json
import os
import pathlib
import subprocess

from .docker import around as around_engine
from .wait import equal, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = "compat-sluicegate"
SLUICEGATE = "/usr/bin/sluicegate"
PROBE = "/etc/init.d/ilogtaild"
USER = 65532
# What a Pod of docker/kubernetes gives its containers.
RESTRICTED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]


@contextlib.contextmanager
def around(case):
    """What a suite takes over as its own `around`: an Engine that has the image."""
    with around_engine(case) as engine:
        environment = {**os.environ, "DOCKER_CONFIG": str(engine.root / "client"), "DOCKER_HOST": engine.host}
        build = [ROOT / "docker" / "build", case.binary, IMAGE]
        built = subprocess.run(build, capture_output=True, text=True, timeout=120, env=environment, stdin=subprocess.DEVNULL)
        equal(f"docker/build, which said {built.stderr[-300:]!r}", built.returncode, 0)
        yield engine


class Container:
    """One of the image; it is removed with the test."""

    def __init__(self, case, engine, *options, network="none", arguments=()):
        self.engine = engine
        started = engine.docker("run", "--detach", f"--network={network}", "--log-driver=json-file", *options, IMAGE, *arguments)
        self.id = started.stdout.strip()
        case.defer(lambda: engine.remove(self.id))

    def inspect(self, what):
        return self.engine.docker("inspect", f"--format={{{{json .State.{what}}}}}", self.id).stdout.strip().strip('"')

    def exec(self, *words):
        """The finished process."""
        return self.engine.docker("exec", self.id, *words, check=False)

    def sluicegate(self, *words):
        """Standard output of a command that has to succeed."""
        done = self.exec(SLUICEGATE, *words)
        equal(f"exit code of {words[0]}, which said {done.stderr[-300:]!r}", done.returncode, 0)
        return done.stdout

    def query(self, query="*", *arguments, limit=1_000_000):
        lines = self.sluicegate("query", query, "--json", f"--limit={limit}", *arguments).splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def wait_until_ready(self, operations="127.0.0.1:24290"):
        ask = [SLUICEGATE, "status", "--operations", operations]
        try:
            wait_until("the gateway in the container answers", lambda: self.exec(*ask).returncode == 0, 30, 0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said {self.said()[-600:]!r}") from error
        return self

    def said(self):
        """What it wrote to standard output and error."""
        done = self.engine.docker("logs", self.id)
        return done.stdout + done.stderr

    def signal(self, name):
        self.engine.docker("kill", f"--signal={name}", self.id)

    def ended(self):
        """Waits for its end; the exit code."""
        return int(self.engine.docker("wait", self.id, timeout=60).stdout)

    def start(self):
        self.engine.docker("start", self.id)


def shared_directory(case, name):
    """A directory as an emptyDir is: everyone may write into it."""
    path = case.directory / name
    path.mkdir()
    path.chmod(0o777)
    return path
