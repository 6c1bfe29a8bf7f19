"""Many agents against one embedded Log Service (20; 200 with --long): what they cost it while nothing happens, and how long it takes until
all of them collect what was applied to their group. Each is a process with a data directory and a file of its own.

Requests are counted by the service. A bound on them is the one thing that is asserted beside the lines; times are printed.
"""

import os
import pathlib
import time

from harness.collection import MINUTE, Operator, collected, plain_lines, seconds_until
from harness.wait import equal, wait_until
from suites.sls_cli import Cli

PEERS = ["debian", "python"]
TIME_LIMIT = 420

PROJECT, GROUP, IDENTITY, LINES = "fleet", "fleet", "fleet-id", 3
# Of one agent: a list of groups, two for its group and one a configuration every 20 s, six heartbeats a minute.
REQUESTS = 4 / 20 + 6 / 60


def with_directory(directory, at):
    """What is started behind this has `directory` at `at`, for itself alone."""
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {directory} {at} && exec "$@"', "sh"]


class Cost:
    """What the service did since this was made."""

    def __init__(self, service):
        self.service, self.began = service, time.monotonic()
        self.at_first = self._now()

    def _now(self):
        stat = pathlib.Path(f"/proc/{self.service.process.pid}/stat").read_text().rpartition(")")[2].split()
        requests = {kind: self.service.metrics().get(f'sluicegate_store_requests_total{{outcome="{kind}"}}', 0) for kind in ("ok", "refused", "failed")}
        return {"cpu": (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), **requests}

    def a_second(self):
        seconds, now = time.monotonic() - self.began, self._now()
        return {name: (now[name] - self.at_first[name]) / seconds for name in now}


def test_many_agents(case):
    count = case.size(20, 200)
    service = case.gateway({"log_service": {"enabled": True}}, name="service")
    operator = Operator(Cli(service), service, PROJECT)
    operator.logstore("lines")
    operator.group(GROUP, IDENTITY)
    at = case.directory / "logs"
    at.mkdir()
    agents, written = [], []
    began = time.monotonic()
    for number in range(count):
        # "data": what so many say is not shown beside a failure
        own = case.directory / "data" / f"agent-{number}" / "logs"
        own.mkdir(parents=True)
        lines = [f"agent {number} line {line}" for line in range(LINES)]
        (own / "app.log").write_text("".join(f"{line}\n" for line in lines))
        written += lines
        agents.append(operator.agent(case, f"data/agent-{number}", [IDENTITY], with_directory(own, at)))
    print(f"        {count} agents are up after {time.monotonic() - began:.0f} s")
    listed = lambda: operator.machines(GROUP)[1]  # noqa: E731
    wait_until("all are listed", lambda: listed() == count, MINUTE, 0.5)

    idle = Cost(service)
    # As many rounds of asking as are enough to be counted.
    wait_until("some rounds", lambda: time.monotonic() - idle.began > 45, 60, 1)
    tell("nothing applied", idle.a_second(), count)

    busy = Cost(service)
    operator.config(plain_lines("lines", at, "*.log", "lines"))
    operator.apply("lines", GROUP)
    took = {"first line": seconds_until("a line", lambda: operator.logs.holds(1, "*", "lines"))}
    took["half of them"] = took["first line"] + seconds_until("half", lambda: operator.logs.holds(len(written) // 2, "*", "lines"))
    took["all lines"] = took["half of them"] + seconds_until("all", lambda: operator.logs.holds(len(written), "*", "lines"))
    for what, seconds in took.items():
        print(f"        {seconds:5.1f} s  {what}, since the config was applied")
    tell("while it was applied", busy.a_second(), count)
    wait_until("all say that it runs", lambda: all(runs(agent) for agent in agents), MINUTE, 0.5)
    steady = Cost(service)
    wait_until("some rounds", lambda: time.monotonic() - steady.began > 45, 60, 1)
    spent = steady.a_second()
    tell("one applied", spent, count)
    got = [record["content"] for record in operator.logs.search("*", "lines")]
    equal("lines, each once", sorted(got), sorted(written))
    memory = sorted(agent.memory() for agent in agents)
    print(f"        memory: agents {memory[0] >> 20} to {memory[-1] >> 20} MiB each, service {service.memory() >> 20} MiB")
    equal("requests that failed or were refused, a second", (spent["failed"], spent["refused"]), (0, 0))
    assert spent["ok"] < 1.5 * REQUESTS * count + 1, f"{spent['ok']:.1f} requests a second of {count} agents"


def runs(agent):
    return collected(agent.http("/status")[1]) == {f"{PROJECT}.lines": "running"}


def tell(when, spent, count):
    requests = spent["ok"] + spent["refused"] + spent["failed"]
    print(f"        {when}: {requests:.1f} requests/s ({requests / count:.2f} an agent), {100 * spent['cpu']:.1f} % of a core at the service")
