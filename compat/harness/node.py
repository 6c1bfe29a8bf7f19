"""The programs of peers/ that run on Node."""

import json
import os
import pathlib
import subprocess

from .wait import equal

PEERS_DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "peers"


def run(case, script, port, mode, ack, count, options=None, timeout=60):
    """The finished process of a Node client that sends `count` records to a port under the tag js.events."""
    command = ["node", str(PEERS_DIRECTORY / script), str(port), "js", mode, ack, str(count), json.dumps(options or {})]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
        env={**os.environ, "NODE_PATH": str(case.work / "npm" / "node_modules")},
    )


def send(case, script, port, mode, ack, count, options=None):
    """As run; every record has to come back good."""
    done = run(case, script, port, mode, ack, count, options)
    equal(f"what {script} says", (done.returncode, done.stdout.strip(), done.stderr[-500:]), (0, f"good {count}", ""))
