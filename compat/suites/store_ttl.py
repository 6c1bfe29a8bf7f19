"""Days on the store's clock in minutes: files go when their ttl has passed, and memory stays what it was.

The store's clock runs SLUICEGATE_STORE_CLOCK_RATE times as fast. A run by `--long` is five days in 20 minutes (360 times); a short
one two and a half days in half a minute. Log times are the writer's, on the clock of everybody else.
"""

import contextlib
import time

from aliyun.log import LogItem, PutLogsRequest

from harness.log_service import PROJECT
from harness.wait import equal, wait_until

TIME_LIMIT = 180
STORE, DAY = "short-lived", 86_400
TTL = 1  # days
SLICES = 16 + 4  # of one ttl, the one being written, and one or two that are due


def size_of(directory):
    """Bytes of all files; one that goes meanwhile counts nothing."""
    total = 0
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_days_pass(case):
    rate, days = case.size((7200, 2.5), (360, 5))
    gateway = case.gateway(environment={"SLUICEGATE_STORE_CLOCK_RATE": str(rate)})
    logs = gateway.log_service()
    logs.client.create_logstore(PROJECT, STORE, TTL, 1)
    packs = gateway.data_dir / "log-service" / "packs"
    files = lambda: sorted(path.name for path in packs.glob(f"{TTL}d-*.db"))
    began, number, seen, most, samples = time.monotonic(), 0, set(), 0, []
    while (passed := (time.monotonic() - began) * rate / DAY) < days:
        items = [LogItem(int(time.time()), [("n", str(number)), ("text", "some words " * 20)], i + 1) for i in range(20)]
        logs.client.put_logs(PutLogsRequest(PROJECT, STORE, "t", "s", items))
        number += 1
        now = files()
        seen |= set(now)
        most = max(most, len(now))
        samples.append((passed, gateway.memory(), size_of(packs)))
        time.sleep(0.05)
    if len(seen) <= SLICES:
        raise AssertionError(f"only {len(seen)} files were ever made in {days} days: the clock does not run {rate} times as fast")
    if most > SLICES:
        raise AssertionError(f"{most} files at once, a ttl of {TTL} day has at most {SLICES}")
    newest = logs.page("*", STORE, reverse=True, size=1)
    equal("the newest is found", newest[0]["n"], str(number - 1))
    oldest = int(logs.page("*", STORE, size=1)[0]["n"])
    if oldest == 0:
        raise AssertionError("the first record is still found, two days after its ttl")
    gone = int((days - TTL * 1.3) / days * number * 0.5)
    if oldest < gone:
        raise AssertionError(f"record {oldest} of {number} is still there; those before {gone} are past their ttl")
    settled = [memory for passed, memory, _ in samples if passed > TTL]
    half = len(settled) // 2
    first, last = max(settled[:half]), max(settled[half:])
    if last > first * 1.25 + 8 * 1024 * 1024:
        raise AssertionError(f"memory grows: {first >> 20} MiB, then {last >> 20} MiB")
    disk = [size for passed, _, size in samples if passed > TTL]
    print(
        f"        {days} days at {rate} times: {number * 20} records, {len(seen)} files made, at most {most} at once; "
        f"RSS {first >> 20} MiB, then {last >> 20} MiB; files {min(disk) >> 10}..{max(disk) >> 10} KiB; oldest record {oldest} of {number}"
    )


def test_an_idle_store_forgets_too(case):
    """Nobody puts or asks: files go all the same."""
    gateway = case.gateway(environment={"SLUICEGATE_STORE_CLOCK_RATE": str(7200)})
    logs = gateway.log_service()
    logs.client.create_logstore(PROJECT, STORE, TTL, 1)
    logs.client.put_logs(PutLogsRequest(PROJECT, STORE, "t", "s", [LogItem(int(time.time()), [("n", "0")])]))
    packs = gateway.data_dir / "log-service" / "packs"
    equal("files", len(list(packs.glob(f"{TTL}d-*.db"))), 1)
    wait_until("the file goes", lambda: not list(packs.glob(f"{TTL}d-*.db")), 90, 0.5)
    equal("records", logs.page("*", STORE), [])
