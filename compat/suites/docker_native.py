"""Every log driver of Docker Engine against the gateway, as a table: what was sent, what arrived, and what became of it
when the gateway was restarted, replaced or killed, or the Engine killed, in the middle.

Four containers write at once: numbered lines on both streams, lines of 40 KiB cut inside characters, one of 1 MiB, empty
ones and bytes that are no text. They stay until all was seen: the Engine gives a driver 10 s at a container's end, and
drops what it has not sent by then. A short run puts each driver through the quiet case, with two containers, and one row per
transport through every disturbance; `--long` puts all through all, with 50,000 lines a row. What a row guarantees
(harness/drivers.py) must hold, or the test fails; the rest is recorded. The tables are printed and kept in the work
directory, under results.
"""

import concurrent.futures
import contextlib
import shutil
import time

from harness import docker
from harness.delivery import Account, expected, script, table, write_files
from harness.drivers import DRIVERS, ENGINE, GRACEFUL, KILL, STEADY, TAKE_OVER, Place, certificates
from harness.wait import equal, wait_until

PEERS = ["debian"]
TIME_LIMIT = 900

CONTAINERS, FEW = 4, 2
AT_ONCE = (3, 2)  # rows, in a short run and in a long one
SHORT, LONG = 1_000, 12_500
# Splunk's driver sends every 5 s otherwise.
ENGINE_ENVIRONMENT = {"SPLUNK_LOGGING_DRIVER_POST_MESSAGES_FREQUENCY": "1s"}
# Seconds without a new record after which nothing more comes, and joins' time-out; drivers' pauses are shorter than both.
# Where lines may be lost it is mostly waited for in vain, and a short run hurries.
PATIENT, HURRIED = (8.0, "5s"), (3.0, "2s")


def around(case):
    return docker.around(case, live_restore=True, environment=ENGINE_ENVIRONMENT)


def row_name(driver, disturbance):
    return f"{driver.name} {disturbance}".replace(" ", "-")


class Row:
    """One driver, one disturbance: a gateway of its own and four containers."""

    def __init__(self, case, engine, authority, driver, disturbance):
        self.engine, self.driver, self.disturbance, self.each = engine, driver, disturbance, case.size(SHORT, LONG)
        self.name = row_name(driver, disturbance)
        # Where nothing happens, two are as good as four.
        self.count = FEW if disturbance == STEADY and not case.long else CONTAINERS
        hurries = not case.long and disturbance not in driver.lossless
        self.quiet, join_timeout = HURRIED if hurries else PATIENT
        self.mount = case.short_directory()
        self.place = Place(case, driver, self.name, self.mount, authority, engine, join_timeout)
        self.gateway = self.place.gateway
        self.containers = {}

    def run(self):
        try:
            write_files(self.mount)
            self._launch()
            wait_until(f"{self.name}: the middle", lambda: self._marks("at") == self.count, 120)
            DISTURB[self.disturbance](self)
            (self.mount / "back").touch()
            wait_until(f"{self.name}: the containers' last words", lambda: self._marks("ended") == self.count, 300)
            self._settle()
            self._end()
            account, found = Account(), self.records()
            for records in found.values():
                account.add(records, self.each, self.driver)
            self._one_shape(found)
            return account
        finally:
            self._end()
            self.engine.remove(*self.containers.values())
            self.gateway.close()

    def _launch(self):
        pause = 0.0 if self.disturbance == STEADY else 0.03
        written = script(self.each, self.driver.streams, pause)
        options = self.driver.log_options(self.place)

        def one(number):
            name = f"{self.name}-{number}".lower()
            return name, self.engine.launch(
                self.driver.log_driver, options, written, f"--env=NAME={name}", name=name, mount=self.mount, wait=False
            )

        with concurrent.futures.ThreadPoolExecutor(self.count) as pool:
            self.containers = dict(pool.map(one, range(self.count)))

    def _marks(self, kind):
        return len(list(self.mount.glob(f"{kind}-*")))

    def _end(self):
        """The containers end, and with them their drivers' sending."""
        (self.mount / "back").touch()
        (self.mount / "go").touch()
        for container in self.containers.values():
            with contextlib.suppress(Exception):  # what hangs is killed when the row is removed
                self.engine.wait(container, 30)

    def _settle(self):
        """Until all is there, or nothing new has come for a while."""
        wanted = self.count * expected(self.each, self.driver.drops_empty).total()
        logs, last, since = self.gateway.log_service(), -1, time.monotonic()
        while not logs.holds(wanted) and time.monotonic() - since < self.quiet:
            count = self.gateway.metric("sluicegate_received_records_total")
            if count != last:
                last, since = count, time.monotonic()
            time.sleep(0.2)
        # and what has come twice
        wait_until(f"{self.name}: all is delivered", lambda: self.gateway.metric("sluicegate_buffer_bytes") == 0, 60)

    def records(self):
        """Records by their container's name, in the order of a query."""
        found = {name: [] for name in self.containers}
        for record in self.gateway.query("*", "--limit", str(10 * self.count * self.each)):
            if record.get("container_name") in found:
                found[record["container_name"]].append(record)
        return found

    def _one_shape(self, found):
        for name, container in self.containers.items():
            for record in found[name]:
                what = f"{self.name}: fields of {record.get('log', '')[:20]!r}"
                equal(what, sorted(self.driver.fields - set(record)), [])
                equal(f"{what}: container_id", record["container_id"], container if self.driver.full_id else container[:12])
                if "source" in self.driver.fields and self.driver.streams == 2:
                    equal(f"{what}: source", record["source"], "stderr" if record["log"].startswith("err ") else "stdout")
                if "image_name" in self.driver.fields:
                    equal(f"{what}: image_name", record["image_name"], docker.IMAGE)


def restart(row):
    row.gateway.terminate()
    row.gateway.start()


def kill(row):
    row.gateway.kill()
    row.gateway.start()


def take_over(row):
    equal("the former gateway's exit", row.gateway.take_over(), 0)


DISTURB = {
    STEADY: lambda row: None,
    TAKE_OVER: take_over,
    GRACEFUL: restart,
    KILL: kill,
    ENGINE: lambda row: row.engine.restart(kill=True),
}


def run_table(case, engine, disturbance, drivers, at_once=None):
    """All rows, whatever becomes of one; the table; then what is wrong with it."""
    authority, rows, wrong = certificates(case.directory), [], []

    def one(driver):
        try:
            return Row(case, engine, authority, driver, disturbance).run()
        except Exception as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(at_once or case.size(*AT_ONCE)) as pool:
        for driver, outcome in zip(drivers, pool.map(one, drivers)):
            found = [f"{driver.name}: {outcome}"]
            if isinstance(outcome, Account):
                rows.append((driver.name, outcome))
                found = list(broken(driver, disturbance, outcome))
            wrong += found
            if not found:  # only the logs of bad rows are shown
                shutil.rmtree(case.directory / row_name(driver, disturbance), ignore_errors=True)
    lines = table(f"{disturbance}, {case.size(SHORT, LONG):,} numbered lines from each container", rows)
    results = case.work / "results"
    results.mkdir(exist_ok=True)
    (results / f"docker_native-{disturbance.replace(' ', '')}.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(f"        {line}" for line in lines), flush=True)
    if wrong:
        raise AssertionError(f"{len(wrong)} rows:\n" + "\n".join(wrong))


def broken(driver, disturbance, account):
    """The guarantees that a row did not keep."""
    if disturbance in driver.lossless:
        if account.lost:
            yield f"{driver.name}: {account.lost} lines lost, such as {', '.join(account.missing)}"
        if account.joined < account.long:
            yield f"{driver.name}: {account.long - account.joined} long lines are not whole"
        if account.disordered:
            yield f"{driver.name}: {account.disordered} lines out of order"
    if disturbance in driver.once:
        # Where lines may be lost, so may a piece of a long one, and the others of it stand alone.
        stray = 0 if account.joined < account.long and disturbance not in driver.lossless else account.pieces
        if account.doubled or stray:
            yield f"{driver.name}: {account.doubled} lines twice, {stray} records that are none"


def some(case):
    return DRIVERS if case.long else [driver for driver in DRIVERS if driver.try_all]


def test_nothing_happens(case, engine):
    run_table(case, engine, STEADY, DRIVERS)


def test_taken_over(case, engine):
    """A successor gets the sockets: what listens is never gone. Connections of Unix sockets end: what was written into one is
    stamped when it is read, so that on a machine with too much to do a line may be younger than the next connection's first."""
    run_table(case, engine, TAKE_OVER, some(case), at_once=2)


def test_restarted(case, engine):
    run_table(case, engine, GRACEFUL, some(case))


def test_killed(case, engine):
    run_table(case, engine, KILL, some(case))


def test_engine_killed(case, engine):
    """The containers go on; the Engine makes their drivers anew when it is back. What its drivers held is lost with it."""
    chosen = [driver for driver in DRIVERS if driver.name in ("fluentd unix", "syslog unix rfc5424", "splunk inline")]
    run_table(case, engine, ENGINE, chosen, at_once=1)
