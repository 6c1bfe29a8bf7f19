"""The Python SDK's consumer library, unmodified, two workers of one group: they share the shards, one takes over what a killed
one held, and checkpoints outlive the gateway."""

import collections
import json
import subprocess
import sys
import time

from aliyun.log import LogItem, PutLogsRequest

from harness.log_service import PROJECT
from harness.sls_calls import PEERS_DIRECTORY, environment
from harness.wait import equal, wait_until

TIME_LIMIT = 240
STORE, GROUP = "consumed", "readers"


class Worker:
    def __init__(self, case, gateway, name):
        self.name, self.path = name, case.directory / f"{name}.jsonl"
        self.path.touch()
        log = open(case.directory / f"{name}.log", "ab")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(PEERS_DIRECTORY / "sls-consumer.py"), name, str(self.path)], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env=environment(gateway, PROJECT=PROJECT, LOGSTORE=STORE, GROUP=GROUP),
        )
        log.close()
        case.defer(self.kill)

    def lines(self):
        text = self.path.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def read(self):
        return [(line["shard"], line["n"]) for line in self.lines() if "n" in line]

    def unkept(self):
        """What it read after the last checkpoint it knows of, shard by shard: what may be read again."""
        since = collections.defaultdict(set)
        for line in self.lines():
            if "kept" in line:
                since[line["shard"]].clear()
            else:
                since[line["shard"]].add(line["n"])
        return set().union(*since.values()) if since else set()

    def shards(self):
        return {shard for shard, _ in self.read()}

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Feed:
    def __init__(self, gateway):
        self.client, self.sent = gateway.log_service().client, 0

    def put(self, groups=20, each=5):
        for _ in range(groups):
            items = [LogItem(int(time.time()), [("n", str(self.sent + i))]) for i in range(each)]
            self.client.put_logs(PutLogsRequest(PROJECT, STORE, "t", "s", items))
            self.sent += each


def numbers(workers):
    return collections.Counter(n for worker in workers for _, n in worker.read())


def everything_once(workers, sent, again=frozenset()):
    """Every number was read, and none twice but those of `again`."""
    wait_until(f"{sent} numbers are read", lambda: set(range(sent)) <= set(numbers(workers)), 60, 0.2)
    twice = {n for n, times in numbers(workers).items() if times > 1}
    equal("read twice without a reason", sorted(twice - again), [])
    return len(twice)


def test_two_workers_one_killed(case):
    gateway = case.gateway(fixed_ports=True)
    feed = Feed(gateway)
    feed.client.create_logstore(PROJECT, STORE, 7, 4)
    one, two = Worker(case, gateway, "one"), Worker(case, gateway, "two")

    def both():
        feed.put(4)
        return all(worker.shards() for worker in (one, two))

    wait_until("both workers read", both, 60, 0.5)
    feed.put()
    everything_once([one, two], feed.sent)
    held = set().union(*(worker.shards() for worker in (one, two)))
    equal("shards read", held, {0, 1, 2, 3})
    lost = one.shards()
    feed.put(8)
    one.kill()
    again = one.unkept()
    feed.put()
    copies = everything_once([one, two], feed.sent, again)
    wait_until("the other one reads the shards of the killed one", lambda: feed.put(4) or lost <= two.shards(), 60, 0.5)
    copies = max(copies, everything_once([one, two], feed.sent, again))
    print(f"        {feed.sent} records, 0 lost, {copies} read twice; {len(again)} were read by the killed worker and not yet kept")


def test_checkpoints_outlive_the_gateway(case):
    gateway = case.gateway(fixed_ports=True)
    feed = Feed(gateway)
    feed.client.create_logstore(PROJECT, STORE, 7, 2)
    first = Worker(case, gateway, "first")
    feed.put()
    everything_once([first], feed.sent)
    wait_until("all is kept", lambda: not first.unkept())
    first.kill()
    gateway.kill()
    gateway.start()
    before = feed.sent
    feed = Feed(gateway)
    feed.sent = before
    feed.put()
    second = Worker(case, gateway, "second")
    wait_until("the new records are read", lambda: set(range(before, feed.sent)) <= {n for _, n in second.read()}, 60, 0.2)
    equal("old records that are read again", sorted(n for _, n in second.read() if n < before), [])


def test_gateway_restarts_under_a_worker(case):
    """The worker itself goes on: it says again what it holds."""
    gateway = case.gateway(fixed_ports=True)
    feed = Feed(gateway)
    feed.client.create_logstore(PROJECT, STORE, 7, 2)
    worker = Worker(case, gateway, "steady")
    feed.put()
    everything_once([worker], feed.sent)
    for end in (gateway.kill, gateway.terminate):
        end()
        gateway.start()
        feed.put()
        wait_until("it reads on", lambda: set(range(feed.sent)) <= set(numbers([worker])), 60, 0.2)
    twice = [n for n, times in numbers([worker]).items() if times > 1]
    equal("read twice", twice, [])
