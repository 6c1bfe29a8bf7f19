"""Docker Engine's fluentd log driver, with every option that changes what arrives.

Facts about the driver that these tests lean on: one connection a container, no ack unless asked for; a line longer than
16 KiB comes in pieces cut at any byte; with async=true what the queue holds is thrown away when the container ends, so
that such containers wait until their lines were seen; a plain TCP connection that is cut loses what was written into
it, so that the tests which cut one use request-ack.
"""

import contextlib
import random
import threading
import time

from harness.docker import IMAGE, Engine, around  # around: the runner takes it from here
from harness.fake_service import FakeService
from harness.proxy import Proxy
from harness.wait import equal, wait_until

PEERS = ["debian"]
TIME_LIMIT = 180

PIECE = 16 * 1024
WAIT_FOR_GO = "while [ ! -e /mnt/go ]; do usleep 50000; done"
NEVER = {"inputs": {"forward": {"join_timeout": "1h"}}}  # a test that only passes by a time-out does not pass


def records_of(gateway, container, count, logstore="default"):
    """The container's records, once there are `count` of them and no more."""
    logs, query = gateway.log_service(), f'container_id: "{container}"'
    wait_until(f"{count} records of {container[:12]}", lambda: logs.holds(count, query, logstore), 60, 0.1)
    found = logs.search(query, logstore)
    equal(f"records of {container[:12]}", len(found), count)
    return found


class Mount:
    """A directory that a container sees as /mnt; the test says through it when the container goes on."""

    def __init__(self, case, name="mnt"):
        self.path = case.directory / name
        self.path.mkdir()

    def go(self):
        (self.path / "go").touch()


# --- options


def test_default_options(case, engine):
    gateway = case.gateway()
    began = int(time.time())
    container = engine.run(gateway.forward, "echo hello; echo; printf 'caf\\303\\251 \\t \"q\" \\\\ end  \\n'", name="web-1")
    found = records_of(gateway, container, 3)
    equal("lines in order", [r["log"] for r in found], ["hello", "", 'café \t "q" \\ end  '])
    for record in found:
        equal("container_id", record["container_id"], container)
        equal("container_name", record["container_name"], "web-1")
        equal("source", record["source"], "stdout")
        equal("topic is the tag, the short id", record["__topic__"], container[:12])
        if not began - 1 <= record["__time__"] <= time.time() + 1:
            raise AssertionError(f"time {record['__time__']} is not the line's")
    equal("the query command finds it, too", [r["log"] for r in gateway.query("hello")], ["hello"])


def test_stderr(case, engine):
    gateway = case.gateway()
    container = engine.run(gateway.forward, "echo out; echo err >&2")
    found = records_of(gateway, container, 2)
    equal("streams", {r["log"]: r["source"] for r in found}, {"out": "stdout", "err": "stderr"})


def test_bytes_that_are_no_text(case, engine):
    gateway = case.gateway()
    container = engine.run(gateway.forward, r"printf 'a\377\376b\n'; printf 'cr\r\n'; printf 'nul\000!\n'")
    lines = [r["log"] for r in records_of(gateway, container, 3)]
    equal("carriage return and NUL stay, invalid UTF-8 is marked", lines, ["a\ufffd\ufffdb", "cr\r", "nul\0!"])


def test_async(case, engine):
    gateway, mount = case.gateway(), Mount(case)
    script = f"for i in 1 2 3; do echo line $i; done; {WAIT_FOR_GO}"
    container = engine.run(
        gateway.forward, script, log_options={"fluentd-async": "true"}, mount=mount.path, wait=False
    )
    equal("lines", [r["log"] for r in records_of(gateway, container, 3)], ["line 1", "line 2", "line 3"])
    mount.go()
    engine.wait(container)


def test_sub_second_precision(case, engine):
    gateway = case.gateway()
    container = engine.run(
        gateway.forward, "for i in 1 2 3; do echo $i; usleep 3000; done", log_options={"fluentd-sub-second-precision": "true"}
    )
    found = records_of(gateway, container, 3)
    times = [(r["__time__"], int(r["__time_ns_part__"])) for r in found]
    if times != sorted(set(times)) or not any(ns % 1000 for _, ns in times):
        raise AssertionError(f"the nanoseconds of the lines: {times}")


def test_tag_labels_env(case, engine):
    gateway = case.gateway()
    container = engine.run(
        gateway.forward, "echo tagged", "--label=team=core", "--label=com.example.svc=web", "--env=APP_ENV=prod", "--env=REGION=x",
        name="tagged-1",
        log_options={"tag": "docker.{{.Name}}", "labels": "team,missing", "labels-regex": "^com\\.", "env": "APP_ENV"},
    )
    (record,) = records_of(gateway, container, 1)
    extra = {key: record.get(key) for key in ("__topic__", "team", "missing", "com.example.svc", "APP_ENV", "REGION")}
    want = {"__topic__": "docker.tagged-1", "team": "core", "missing": None, "com.example.svc": "web", "APP_ENV": "prod", "REGION": None}
    equal("tag, labels and environment", extra, want)


def test_routes_by_tag_and_container(case, engine):
    route = {"match": "docker.**", "logstore": "app-${record.container_name:-unknown}", "processors": [{"remove": ["container_id"]}]}
    gateway = case.gateway({"routes": [route]})
    engine.run(gateway.forward, "echo routed", name="shop", log_options={"tag": "docker.{{.Name}}"})
    other = engine.run(gateway.forward, "echo elsewhere")
    logs = gateway.log_service()
    # Docker's name has a slash in front; what it becomes in a logstore's name is the gateway's choice
    (logstore,) = wait_until("the container's logstore", lambda: [n for n in logs.logstores() if n.startswith("app-")])
    equal("named after the container", logstore.endswith("shop"), True)
    wait_until("the routed line", lambda: logs.holds(1, "*", logstore))
    equal("in the logstore of its container", [r["log"] for r in logs.search("*", logstore)], ["routed"])
    equal("without the removed field", "container_id" in logs.search("*", logstore)[0], False)
    records_of(gateway, other, 1)


# --- acknowledgements


def acknowledged_lines(case, engine, count=200, **options):
    gateway = case.gateway(NEVER)
    script = f"for i in $(seq {count}); do echo line $i; done"
    mount = Mount(case)
    container = engine.run(
        gateway.forward, f"{script}; {WAIT_FOR_GO}", mount=mount.path, wait=False,
        log_options={"fluentd-request-ack": "true", **options},
    )
    found = records_of(gateway, container, count)
    equal("lines", [r["log"] for r in found], [f"line {i}" for i in range(1, count + 1)])
    mount.go()
    engine.wait(container)


def test_request_ack_blocking_one_stream(case, engine):
    acknowledged_lines(case, engine)


def test_request_ack_async(case, engine):
    acknowledged_lines(case, engine, **{"fluentd-async": "true"})


def test_request_ack_non_blocking(case, engine):
    acknowledged_lines(case, engine, **{"mode": "non-blocking", "max-buffer-size": "4m"})


def no_line_twice(service):
    """Each line of each stream is stored once. Returns stream -> numbers of its lines."""
    streams = {}
    for record in service.once():
        streams.setdefault((record["container_name"], record["source"]), []).append(int(record["log"].split()[1]))
    for stream, numbers in streams.items():
        equal(f"lines of {stream}", sorted(numbers), sorted(set(numbers)))
    return streams


def without_gaps(streams):
    return all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in streams.values())


def test_request_ack_two_streams(case, _engine):
    """Both streams wait for acks. The driver of this Engine is at war with itself then: its streams share one connection,
    each closes the one that the other has opened, and the same message comes hundreds of times; or one takes the other's
    ack, and that waits for ever; or one reads from the connection that the other has just put away, and the whole Engine
    ends by that panic. So nothing can be said of how many lines come; but each is stored once, over a kill -9, too. The
    Engine is the test's own, and another one takes its place when it panicked before the war was over.
    """
    for number in range(1, 6):
        directory = case.directory / f"engine-{number}"
        directory.mkdir()
        engine = Engine(directory)
        try:
            return war_of_two_streams(case, engine.start(), number)
        except AssertionError:
            if not engine.panicked("fluent-logger-golang"):
                raise
            print(f"        Engine {number} ended by a panic of its log driver")
        finally:
            engine.close()
    raise AssertionError("five Engines panicked, one after the other")


def war_of_two_streams(case, engine, number):
    service, mount = FakeService().up(), Mount(case, f"mnt-{number}")  # it knows a LogGroup that comes twice by its pack_id
    case.defer(service.close)
    destinations = {"cloud": service.destination(batch_age="100ms")}
    gateway = case.gateway({**NEVER, "destinations": destinations}, fixed_ports=True, name=f"gateway-{number}")
    script = f"for i in $(seq 20); do echo out $i; echo err $i >&2; done; {WAIT_FOR_GO}"
    options = {"fluentd-request-ack": "true"}

    def copies():
        return gateway.metric("sluicegate_duplicates_total")

    def lines():
        return sum(map(len, no_line_twice(service).values()))

    try:
        for _ in range(4):
            engine.run(gateway.forward, script, mount=mount.path, wait=False, log_options=options)
        wait_until("copies", lambda: copies() >= 50, 30, 0.1)
        before, stored = copies(), lines()
        gateway.kill()
        gateway.start()
        # who waited for an ack sends its message again; unless every line had come
        wait_until("copies of what was stored before", lambda: copies() >= 1 or lines() == 160, 30, 0.1)
    finally:  # this must hold however the Engine fares
        wait_until("no line misses before another of its stream", lambda: without_gaps(no_line_twice(service)))
        equal("complaints of the service", service.complaints, [])
    wait_until("what was stored before is still there", lambda: lines() >= stored)
    print(f"        {before:.0f} copies before a kill -9, {copies():.0f} after it; {lines()} lines, each stored once")


# --- Unix sockets


def unix_gateway(case):
    path = case.short_directory() / "forward.sock"
    return case.gateway({**NEVER, "inputs": {"forward": {"listen": ["127.0.0.1:0", f"unix:{path}"], "join_timeout": "1h"}}}), path


def test_unix_socket(case, engine):
    gateway, path = unix_gateway(case)
    container = engine.run(path, "for i in $(seq 1000); do echo line $i; done; head -c 40000 /dev/zero | tr '\\0' x; echo")
    found = [r["log"] for r in records_of(gateway, container, 1001)]
    equal("lines", found, [f"line {i}" for i in range(1, 1001)] + ["x" * 40000])


def test_unix_socket_with_acks_over_a_restart(case, engine):
    """The socket's file is there again after a kill, although the old one was left behind."""
    gateway, path = unix_gateway(case)
    mount = Mount(case)
    script = f"for i in $(seq 100); do echo line $i; done; {WAIT_FOR_GO}; for i in $(seq 101 200); do echo line $i; done"
    container = engine.run(path, script, mount=mount.path, wait=False, log_options={"fluentd-request-ack": "true"})
    records_of(gateway, container, 100)
    gateway.kill()
    gateway.start()
    mount.go()
    engine.wait(container)
    found = [r["log"] for r in records_of(gateway, container, 200)]
    equal("lines", found, [f"line {i}" for i in range(1, 201)])


# --- lines in pieces


def long_line():
    """40 KiB of text with a character across each 16 KiB cut."""
    chooser = random.Random(16384)
    line, size = [], 0
    while size < 40 * 1024:
        to_cut = -size % PIECE
        character = "你" if to_cut in (1, 2) else "😀" if to_cut == 3 else chooser.choice("aé你😀")
        line.append(character)
        size += len(character.encode())
    text = "".join(line)
    for cut in (PIECE, 2 * PIECE):  # 10xxxxxx: in the middle of a character
        assert text.encode()[cut] & 0xC0 == 0x80, cut
    return text


def whole_line(case, engine, **options):
    gateway, mount, line = case.gateway(NEVER), Mount(case), long_line()
    (mount.path / "line").write_text(line + "\n")
    container = engine.run(
        gateway.forward, f"echo before; cat /mnt/line; echo after; {WAIT_FOR_GO}", mount=mount.path, wait=False, log_options=options
    )
    found = records_of(gateway, container, 3)
    equal("the joined line", found[1]["log"], line)
    equal("the lines beside it", [found[0]["log"], found[2]["log"]], ["before", "after"])
    equal("marks of pieces", [key for key in found[1] if key.startswith("partial_")], [])
    mount.go()
    engine.wait(container)


def test_long_line(case, engine):
    whole_line(case, engine)


def test_long_line_with_sub_second_times(case, engine):
    whole_line(case, engine, **{"fluentd-sub-second-precision": "true"})


def test_long_line_with_acks(case, engine):
    whole_line(case, engine, **{"fluentd-request-ack": "true"})


def test_long_line_with_acks_async(case, engine):
    whole_line(case, engine, **{"fluentd-request-ack": "true", "fluentd-async": "true"})


def pause_between_pieces(case, engine, gateway, port, disturb):
    """A container that prints 20,000 bytes, waits while `disturb` does its worst, and then ends the line."""
    mount = Mount(case)
    script = f"head -c 20000 /dev/zero | tr '\\0' x; {WAIT_FOR_GO}; echo ' end'; echo next"
    container = engine.run(port, script, mount=mount.path, wait=False, log_options={"fluentd-request-ack": "true"})
    wait_until("the first piece is acknowledged", lambda: gateway.metric("sluicegate_acks_total") >= 1)
    disturb()
    mount.go()
    engine.wait(container)
    lines = [r["log"] for r in records_of(gateway, container, 2)]
    equal("the line is whole", lines, ["x" * 20000 + " end", "next"])


def test_pause_between_pieces(case, engine):
    gateway = case.gateway(NEVER)
    pause_between_pieces(case, engine, gateway, gateway.forward, lambda: None)


def test_kill_between_pieces(case, engine):
    gateway = case.gateway(NEVER, fixed_ports=True)

    def disturb():
        gateway.kill()
        gateway.start()

    pause_between_pieces(case, engine, gateway, gateway.forward, disturb)


def test_reconnect_between_pieces(case, engine):
    gateway = case.gateway(NEVER)
    proxy = Proxy(gateway.forward)
    case.defer(proxy.close)
    pause_between_pieces(case, engine, gateway, proxy.port, proxy.cut)
    if proxy.connections < 2:
        raise AssertionError("the driver did not have to reconnect: the test tests nothing")


def test_end_without_newline(case, engine):
    """Nothing marks the end of an unfinished last line: it comes by the time-out, or by the stream's end."""
    gateway = case.gateway({"inputs": {"forward": {"join_timeout": "300ms"}}})
    container = engine.run(gateway.forward, "echo whole; printf 'no newline'")
    equal("lines", [r["log"] for r in records_of(gateway, container, 2)], ["whole", "no newline"])


# --- many lines


class Watch:
    """Looks at a gauge again and again; what it was at most is known when it is asked, which also ends the looking."""

    def __init__(self, gateway, metric):
        self._end, self._most = threading.Event(), 0
        self._thread = threading.Thread(target=self._look, args=(gateway, metric), daemon=True)
        self._thread.start()

    def _look(self, gateway, metric):
        while not self._end.wait(0.01):
            with contextlib.suppress(OSError):
                self._most = max(self._most, gateway.metric(metric))

    def most(self):
        self._end.set()
        self._thread.join()
        return self._most


def many_lines(case, engine, hold=False, **options):
    """Numbered lines from 4 containers at once: each arrives once, and a container's query counts upwards."""
    total = case.size(16_000, 50_000)
    gateway, mount, each = case.gateway(), Mount(case), total // 4
    in_flight = Watch(gateway, "sluicegate_requests_in_flight")
    script = f"seq {each} | sed 's/$/ of a numbered line/'" + (f"; {WAIT_FOR_GO}" if hold else "")
    containers = {
        name: engine.run(gateway.forward, script, name=name, mount=mount.path, wait=False, log_options=options)
        for name in (f"{case.name.rpartition('/')[2][5:].replace('_', '-')}-{i}" for i in range(4))
    }
    if not hold:
        for container in containers.values():
            engine.wait(container)
    logs = gateway.log_service()
    wait_until(f"{total} lines", lambda: logs.holds(total), 90, 0.2)
    for name, container in containers.items():
        found = gateway.query(f'container_name: "{name}"', "--limit", str(total))
        numbers = [int(r["log"].split()[0]) for r in found]
        equal(f"the numbers of {name}, once and ascending", numbers, list(range(1, each + 1)))
        for key, want in (("container_id", container), ("container_name", f"{name}"), ("source", "stdout")):
            equal(f"{key} of {name}", {r[key] for r in found}, {want})
    equal("nothing else is there", logs.holds(total + 1), False)
    if (most := in_flight.most()) < 2:
        raise AssertionError(f"at most {most:.0f} request was seen in flight")
    mount.go()
    for container in containers.values():
        engine.wait(container)


def test_many_lines(case, engine):
    many_lines(case, engine)


def test_many_lines_sub_second(case, engine):
    many_lines(case, engine, **{"fluentd-sub-second-precision": "true"})


def test_many_lines_async(case, engine):
    many_lines(case, engine, hold=True, **{"fluentd-async": "true"})


# --- the newcomer


def test_newcomers_run(case, engine):
    """Nothing configured on either side: the gateway without arguments, the driver without options, one query."""
    gateway = case.gateway(start=False, environment={"SLUICEGATE_DATA_DIR": str(case.directory / "state")})
    gateway.start(arguments=[])
    engine.docker("run", "--rm", "--network=none", "--log-driver=fluentd", IMAGE, "echo", "hello from a container")
    wait_until("the line", lambda: "hello from a container" in gateway.command("query", "container").stdout)
