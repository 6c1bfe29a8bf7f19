"""The Rust SDK, unmodified, by the proxy variable. peers/sls-rust is a cargo project of its own with its own lock file; it is
built once, into the work directory (some 200 crates: two to six minutes on two cores)."""

import pathlib
import subprocess

from harness.sls_calls import PEERS_DIRECTORY, Table, environment, lines_of, run

TIME_LIMIT = 900


def around(case):
    return Built(case)


class Built:
    """The program, built. Cargo decides itself whether anything is to be done."""

    def __init__(self, case):
        self.project, self.target = PEERS_DIRECTORY / "sls-rust", case.work / "sls-rust"

    def __enter__(self) -> pathlib.Path:
        command = ["cargo", "build", "--locked", "--quiet", "--manifest-path", str(self.project / "Cargo.toml")]
        done = subprocess.run([*command, "--target-dir", str(self.target)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise AssertionError(f"peers/sls-rust could not be built: {done.stderr.strip()[-600:]}")
        return self.target / "debug" / "sls-rust"

    def __exit__(self, *_):
        pass


def test_every_call(case, program):
    gateway, table = case.gateway(), Table(case, "sls-rust")
    try:
        table.add(lines_of(run([str(program)], environment(gateway))))
    finally:
        table.close()
