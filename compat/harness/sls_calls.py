"""Other people's Log Service clients, each in a process of its own, and the table of what came of their calls.

A client is a program of peers/ that makes many calls and says one line of JSON for each:

    {"call": "get_logs", "said": "2 logs", "wrong": null}

`said` is what it saw, `wrong` why that is not what was to be seen. One call that fails keeps none of the others from being
made, so that the table is whole. The programs reach the service in the ways that users are told of: by the proxy variable with an invented
name, or, those that know no proxies, by lines of a hosts file.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

PEERS_DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / "peers"
NAME = "cn-local.log.local"  # invented; the proxy variable leads it to the gateway


def environment(gateway, key=None, **more):
    """What a user exports to point an unmodified client at the embedded service."""
    key_id, secret = key or gateway.access_key()
    proxy = f"http://127.0.0.1:{gateway.ports['log service']}"
    kept = {name: value for name, value in os.environ.items() if name.lower() not in ("no_proxy", "all_proxy", "https_proxy")}
    return {
        **kept, "http_proxy": proxy, "HTTP_PROXY": proxy, "KEY_ID": key_id, "KEY_SECRET": secret, "ENDPOINT": NAME,
        "HOME": str(gateway.directory), **{name: str(value) for name, value in more.items()},
    }


def run(command, environment, timeout=100):
    """The finished process; one that does not end in time is ended, and what it said until then is kept."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return subprocess.CompletedProcess(command, "no exit code", said, f"did not end within {timeout} s")


def python(gateway, group, key=None, **more):
    """The Python SDK's calls of a group, as lines of the table."""
    command = [sys.executable, "-W", "ignore", str(PEERS_DIRECTORY / "sls-python.py"), group]
    return lines_of(run(command, environment(gateway, key, **more)))


def with_hosts(directory, names, command):
    """The command with a hosts file of its own, in which the names are loopback's."""
    hosts = pathlib.Path(directory) / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh", *command]


def lines_of(done):
    """The calls a program made; that it ended in its middle is a call that failed, too."""
    calls = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        calls.append({"call": "(the program)", "said": "", "wrong": f"ended with {done.returncode}: {done.stderr.strip()[-500:]}"})
    elif not calls:
        calls.append({"call": "(the program)", "said": "", "wrong": f"made no call: {done.stderr.strip()[-500:]}"})
    return calls


class Table:
    """The calls of a suite; kept in the work directory, whatever fails."""

    def __init__(self, case, client):
        self.client, self.rows, self._written = client, [], case.work / "results" / f"{client}.txt"

    def add(self, calls, variant=""):
        """Takes the calls over; fails the test with all that went wrong."""
        for call in calls:
            self.rows.append((call["call"] + (f" ({variant})" if variant else ""), call["said"], call["wrong"]))
        self.write()
        wrong = [f"{call['call']}: {call['wrong']}" for call in calls if call["wrong"]]
        if wrong:
            raise AssertionError(f"{len(wrong)} of {len(calls)} calls {variant}: " + " | ".join(wrong))

    def write(self):
        width = max(len(row[0]) for row in self.rows)
        lines = [f"{call.ljust(width)}  {'ok   ' if not wrong else 'WRONG'}  {(wrong or said)[:160]}" for call, said, wrong in self.rows]
        self._written.parent.mkdir(parents=True, exist_ok=True)
        self._written.write_text(f"{self.client}, {time.strftime('%F')}\n" + "\n".join(lines) + "\n")

    def close(self):
        if self.rows:
            good = sum(1 for row in self.rows if not row[2])
            print(f"        {good} of {len(self.rows)} calls answered as they should: {self._written}")
