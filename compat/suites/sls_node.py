"""Both npm clients of Log Service, unmodified. They know no proxy variable, so they get lines of a hosts file, the second
way of the documentation: `127.0.0.1 PROJECT.NAME`."""

import os

from harness.node import PEERS_DIRECTORY
from harness.sls_calls import NAME, Table, environment, lines_of, run, with_hosts

PEERS = ["npm"]


def calls(case, which, *arguments):
    gateway = case.gateway()
    names = [NAME, *(f"{project}.{NAME}" for project in ("node-project", "node-project-v1", "node-project-v4"))]
    endpoint = f"{NAME}:{gateway.ports['log service']}"
    command = with_hosts(case.directory, names, ["node", str(PEERS_DIRECTORY / "sls-node.js"), which, endpoint, *arguments])
    clean = {name: value for name, value in environment(gateway).items() if name.lower() != "http_proxy"}
    done = run(command, {**clean, "NODE_PATH": str(case.work / "npm" / "node_modules"), "PATH": os.environ["PATH"]})
    table = Table(case, "-".join(["sls-node", which, *arguments]))
    try:
        table.add(lines_of(done))
    finally:
        table.close()


def test_alicloud_log(case):
    calls(case, "log")


def test_openapi(case):
    calls(case, "openapi")


def test_openapi_signature_v4(case):
    calls(case, "openapi", "v4")
