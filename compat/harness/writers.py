"""Containers that write what `delivery` describes, all at once, and the account of what a gateway has of it.

Their middle is where a test does its worst: each says when it is there, writes on, and waits before its last fifth until
the test calls `back`.
"""

import concurrent.futures
import time

from . import delivery
from .delivery import Account
from .fake_service import FakeService
from .wait import equal, wait_until


class Writers:
    def __init__(self, case, engine, driver, log_options, each, label, count=4, streams=2, pause=0.0, options=()):
        """`each` numbered lines from each of `count` containers named LABEL-0, LABEL-1, ..."""
        self.engine, self.each, self.label = engine, each, label
        self.mount = case.directory / f"mnt-{label}"
        self.mount.mkdir()
        delivery.write_files(self.mount)
        script = delivery.script(each, streams, pause)
        self.containers = {}
        case.defer(lambda: engine.remove(*self.containers.values()))

        def launch(name):
            self.containers[name] = engine.launch(
                driver, log_options, script, f"--env=NAME={name}", *options, name=name, mount=self.mount, wait=False
            )

        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(launch, [f"{label}-{number}" for number in range(count)]))

    def _all_have(self, mark):
        return all((self.mount / f"{mark}-{name}").exists() for name in self.containers)

    def wait_for_middle(self):
        """Returns when all containers are past two fifths; they go on meanwhile, up to four fifths."""
        wait_until("the containers are in their middle", lambda: self._all_have("at"), 120)

    def back(self):
        """Lets them write their last fifth and end."""
        (self.mount / "go").touch()
        (self.mount / "back").touch()

    def wait_for_end(self, timeout=300):
        for container in self.containers.values():
            self.engine.wait(container, timeout)

    def account(self, service, row, quiet=30):
        """What `service` has, once every line is there or nothing new came for `quiet` seconds: LogGroups that a killed gateway
        sent again are known by their pack_id and count once. `row` has drops_empty and marks_bytes."""
        wanted = delivery.expected(self.each, row.drops_empty).total() * len(self.containers)
        last, since, found = -1, time.monotonic(), {}

        def is_settled():
            nonlocal last, since, found
            found = self.records(service)
            count = sum(map(len, found.values()))
            if count != last:
                last, since = count, time.monotonic()
            return count >= wanted or time.monotonic() - since > quiet

        wait_until("no more records come", is_settled, 120, 0.2)
        account = Account()  # it tells what is missing
        for name in self.containers:
            account.add(found[name], self.each, row)
        equal("complaints of the service", service.complaints, [])
        return account

    def records(self, service):
        """Records by their container's name, in the order they came in."""
        found = {name: [] for name in self.containers}
        for records in service.series().values():
            for record in records:
                if record.get("container_name") in found:
                    found[record["container_name"]].append(record)
        return found


def cloud(case):
    """(a Log Service that knows what came twice, the configuration that leads to it)"""
    service = FakeService().up()
    case.defer(service.close)
    return service, {"cloud": service.destination(batch_age="100ms")}


def lossless(name, account):
    """Fails where a line is lost, doubled, torn or out of order."""
    faults = {
        "lost": account.lost, "duplicated": account.doubled, "out of order": account.disordered, "pieces": account.pieces,
        "not joined": account.long - account.joined,
    }
    if any(faults.values()):
        raise AssertionError(f"{name}: {faults}, of {account.sent} lines; missing are {account.missing}")
