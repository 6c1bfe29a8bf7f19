"""The image that docker/build makes: the gateway in a container, asked through `docker exec`."""

import os
import pathlib
import subprocess

from harness.docker import around  # around: the runner takes it from here
from harness.wait import equal, wait_until

PEERS = ["debian"]
BUILD = pathlib.Path(__file__).resolve().parents[2] / "docker" / "build"
IMAGE = "compat-sluicegate"
SLUICEGATE = "/usr/bin/sluicegate"


def test_stores_and_finds_in_a_container(case, engine):
    environment = {**os.environ, "DOCKER_CONFIG": str(engine.root / "client"), "DOCKER_HOST": engine.host}
    built = subprocess.run([BUILD, case.binary, IMAGE], capture_output=True, text=True, timeout=120, env=environment)
    equal(f"docker/build, which said {built.stderr[-300:]!r}", built.returncode, 0)
    container = engine.docker("run", "--detach", "--network=none", "--log-driver=none", IMAGE).stdout.strip()

    def inside(*words):
        return engine.docker("exec", container, SLUICEGATE, *words, check=False)

    wait_until("the gateway in the container answers", lambda: inside("status").returncode == 0, 30, 0.2)
    equal("send", inside("send", "--tag", "demo", '{"log":"hello from an image"}').returncode, 0)
    found = inside("query", "hello").stdout
    equal("records found", found.count("hello from an image"), 1)
    engine.docker("stop", "--time=10", container)
    code = engine.docker("inspect", "--format={{.State.ExitCode}}", container).stdout.strip()
    equal("exit code after docker stop", code, "0")
