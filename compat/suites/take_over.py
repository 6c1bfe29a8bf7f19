"""Listening sockets outlive the gateway: a successor takes them over (`run --take-over`), or a supervisor holds them.

What is counted is what peers see: connects that are refused, records that are lost or come twice. A peer over TCP without
acks cannot know that its connection was closed before it has written into it, so that it loses what it wrote last when a
gateway is restarted; a successor is passed its connection.
"""

import contextlib
import socket
import sys
import threading
import time

from harness.docker import around  # around: the runner takes it from here
from harness.forward import AckedSender, Connection, message
from harness.gateway import free_port
from harness.senders import Sender, forward_message, records_by_sender, rows, settled, socket_path, syslog_line, table
from harness.wait import equal, wait_until
from harness.writers import cloud

PEERS = ["debian"]
TIME_LIMIT = 180

SWITCHES = 3, 20  # short and long run

# Gives the descriptors of its first argument the numbers 3, 4, ... and becomes the program, as systemd does.
ACTIVATE = """
import os, sys
held = [os.dup(int(fd)) for fd in sys.argv[1].split(",")]
held = [os.dup2(fd, 200 + at) for at, fd in enumerate(held)]
for at, fd in enumerate(held):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(held)), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Place:
    """A gateway with every kind of address, and the Log Service it sends to."""

    def __init__(self, case, **options):
        self.case, (self.service, destinations) = case, cloud(case)
        home = case.short_directory()
        self.tcp, self.syslog = free_port(), free_port()
        self.unix, self.stream, self.datagrams = (socket_path(home, name) for name in ("forward", "syslog", "datagrams"))
        inputs = {
            "forward": {"type": "forward", "listen": [f"127.0.0.1:{self.tcp}", f"unix:{self.unix}"]},
            "syslog": {"type": "syslog", "listen": [f"127.0.0.1:{self.syslog}", f"unix:{self.stream}", f"unixgram:{self.datagrams}"]},
        }
        self.config = {"inputs": inputs, "destinations": destinations}
        self.options = options
        self.gateway = None

    def start(self):
        self.gateway = self.case.gateway(self.config, fixed_ports=True, **self.options)
        return self

    def senders(self):
        """One of each kind, at work."""
        return [
            Sender("forward-unix", self.unix, forward_message),
            Sender("forward-tcp", self.tcp, forward_message),
            Sender("forward-unix-brief", self.unix, forward_message, brief=True, pause=0.003),
            Sender("forward-tcp-brief", self.tcp, forward_message, brief=True, pause=0.003),
            Sender("syslog-unix", self.stream, syslog_line),
            Sender("syslog-tcp", self.syslog, syslog_line),
            Sender("syslog-udp", self.syslog, syslog_line, datagrams=True),
            Sender("syslog-unixgram", self.datagrams, syslog_line, datagrams=True),
        ]

    def put_through(self, disturb, times, what):
        """All senders send while `disturb` is done so often; returns their rows. A sender with acks loses nothing."""
        senders, acked = self.senders(), AckedSender(self.tcp, "forward-tcp-acked", "switch", records_per_chunk=5)
        for sender in [*senders, acked]:
            sender.start()
        for _ in range(times):
            go_on(senders)
            disturb()
        go_on(senders)
        for sender in senders:
            sender.finish()
        acked.finish()
        # What is lost on the way is not waited for long: nobody holds it any more.
        settled(self.service, sum(s.number for s in senders) + acked.next_number)
        found = rows(self.service, senders)
        came = [number for numbers in records_by_sender(self.service)["forward-tcp-acked"] for number in numbers]
        equal("acknowledged records, each once", sorted(came), list(range(acked.next_number)))
        equal("complaints of the service", self.service.complaints, [])
        print("\n".join(f"        {line}" for line in table(f"{what}, {times} times; {len(came)} with acks came, each once", found)))
        return found


def go_on(senders):
    """Returns when each has sent some more."""
    began = {sender: sender.number for sender in senders}
    for sender, before in began.items():
        wait_until(f"{sender.name} goes on", lambda s=sender, b=before: s.number > b + 50, 30, 0.02)


def same(what, found, columns, names):
    got = {name: tuple(getattr(found[name], column) for column in columns) for name in names}
    equal(f"{what}: {columns}", got, {name: (0,) * len(columns) for name in names})


EVERYONE = (
    "forward-unix", "forward-tcp", "forward-unix-brief", "forward-tcp-brief", "syslog-unix", "syslog-tcp", "syslog-udp",
    "syslog-unixgram",
)
LASTING = [name for name in EVERYONE if "brief" not in name]  # each connection is a task of its own
NO_TCP = [name for name in EVERYONE if "tcp" not in name]


# --- one gateway takes over from another


def test_take_over(case, engine):
    place = Place(case).start()
    found = place.put_through(lambda: equal("exit code", place.gateway.take_over(), 0), case.size(*SWITCHES), "take-over")
    same("nobody is refused, nothing comes twice", found, ("refused", "doubled"), EVERYONE)
    same("nothing comes out of order", found, ("disordered",), LASTING)
    same("nothing is lost", found, ("lost",), NO_TCP)
    same("connections that were passed on lose nothing on TCP either", found, ("lost",), ["forward-tcp", "forward-tcp-brief", "syslog-tcp"])


def test_restart_for_comparison(case, engine):
    """What take-over is for: the same without it."""
    place = Place(case).start()

    def restart():
        place.gateway.terminate()
        place.gateway.start()

    found = place.put_through(restart, 2, "restart")
    same("on Unix streams a restart loses nothing", found, ("lost", "doubled"), ["forward-unix", "forward-unix-brief", "syslog-unix"])


def test_containers_start_during_the_switch(case, engine):
    place = Place(case).start()
    options = {"fluentd-address": f"unix://{place.unix}", "tag": "{{.Name}}"}
    ended, failed, count = threading.Event(), [], [0]

    def run():
        while not ended.is_set():
            name = f"during-{count[0]}"
            try:
                engine.launch("fluentd", options, "echo first; echo last", "--rm", name=name, wait=False)
                count[0] += 1
            except AssertionError as error:
                failed.append(str(error))
                return

    runner = threading.Thread(target=run, daemon=True)
    runner.start()
    for _ in range(case.size(*SWITCHES)):
        before = count[0]
        wait_until("containers start", lambda: count[0] > before + 1 or failed, 60)
        equal("exit code", place.gateway.take_over(), 0)
    before = count[0]
    wait_until("containers start", lambda: count[0] > before + 1 or failed, 60)
    ended.set()
    runner.join(60)
    equal("docker run that failed", failed, [])
    wait_until("all lines", lambda: len(place.service.once()) >= 2 * count[0], 60)
    names = sorted(f"during-{number}" for number in range(count[0]) for _ in range(2))
    equal("lines by container", sorted(r["container_name"] for r in place.service.once()), names)
    print(f"        {count[0]} containers started, none failed")


# --- a supervisor holds the sockets


def supervised(case):
    place = Place(case)
    held = []

    def hold(family, kind, address):
        opened = socket.socket(family, kind)
        case.defer(opened.close)
        opened.bind(address)
        if kind == socket.SOCK_STREAM:
            opened.listen(1024)
        elif family == socket.AF_INET:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        held.append(opened)

    hold(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", place.tcp))
    hold(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", place.syslog))
    hold(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", place.syslog))
    hold(socket.AF_UNIX, socket.SOCK_STREAM, str(place.unix))
    hold(socket.AF_UNIX, socket.SOCK_STREAM, str(place.stream))
    hold(socket.AF_UNIX, socket.SOCK_DGRAM, str(place.datagrams))
    numbers = tuple(opened.fileno() for opened in held)
    place.options = {"wrapper": [sys.executable, "-c", ACTIVATE, ",".join(map(str, numbers))], "pass_fds": numbers}
    return place.start()


def test_socket_activation_restart(case, engine):
    place = supervised(case)

    def restart():
        equal("exit code", place.gateway.terminate(), 0)
        place.gateway.start()

    found = place.put_through(restart, case.size(*SWITCHES), "socket activation, restart")
    same("nobody is refused, nothing comes twice", found, ("refused", "doubled"), EVERYONE)
    same("nothing comes out of order", found, ("disordered",), LASTING)
    same("nothing is lost", found, ("lost",), [name for name in NO_TCP if name != "syslog-udp"])
    equal("the supervisor's paths are still there", (place.unix.exists(), place.datagrams.exists()), (True, True))


def test_socket_activation_kill(case, engine):
    place = supervised(case)

    def kill():
        place.gateway.kill()
        place.gateway.start()

    found = place.put_through(kill, case.size(*SWITCHES), "socket activation, kill -9")
    same("nobody is refused", found, ("refused",), EVERYONE)
    same("nothing comes out of order", found, ("disordered",), LASTING)


# --- what goes wrong


def test_take_over_from_nobody(case, engine):
    place = Place(case)
    place.gateway = case.gateway(place.config, fixed_ports=True, start=False)
    place.gateway.start(arguments=["run", "--take-over", "--config", str(place.gateway._write_config())])
    with Connection(place.tcp) as client:
        client.acknowledged("first", {"log": "hello"})


def test_an_address_that_is_not_named_any_more(case, engine):
    place = Place(case).start()
    del place.gateway.config["inputs"]["syslog"]
    equal("exit code", place.gateway.take_over(), 0)
    said = [line for line in place.gateway.log_text().splitlines() if "is closed, so whoever connects is refused" in line]
    equal("addresses that are told of", len(said), 4)
    for address in (f"TCP 127.0.0.1:{place.syslog}", f"unix:{place.stream}", f"unixgram:{place.datagrams}"):
        equal(address, any(address in line for line in said), True)
    with socket.socket() as probe:
        equal("a connect is refused", probe.connect_ex(("127.0.0.1", place.syslog)) != 0, True)
    with Connection(place.unix) as client:
        client.acknowledged("first", {"log": "hello"})


def test_a_new_address(case, engine):
    place = Place(case).start()
    added = free_port()
    place.gateway.config["inputs"]["forward"]["listen"].append(f"127.0.0.1:{added}")
    equal("exit code", place.gateway.take_over(), 0)
    for at in (added, place.tcp, place.unix):
        with Connection(at) as client:
            client.acknowledged("first", {"log": "hello"})


def successor_that_fails(case, place, change, code):
    """Starts a successor with a changed configuration, which ends with this code; the one that runs goes on."""
    other = case.gateway(place.config, fixed_ports=True, start=False, name="successor")
    other.config = {**place.gateway.config, **change}
    other.data_dir = place.gateway.data_dir
    other.start(wait=False, arguments=["run", "--take-over", "--config", str(other._write_config())])
    equal("the successor's exit code", other.wait(60), code)
    print(f"        it said: {other.log_text().strip().splitlines()[-1][:200]}")
    with contextlib.suppress(AssertionError):
        wait_until("the former gateway ends", lambda: not place.gateway.running(), 2)
    equal("the former gateway runs", place.gateway.running(), True)
    for at in (place.tcp, place.unix):
        with Connection(at) as client:
            client.acknowledged("first", {"log": "hello"})


def test_a_successor_with_a_wrong_configuration(case, engine):
    place = Place(case).start()
    successor_that_fails(case, place, {"no_such_key": 1}, 2)


def test_a_successor_whose_address_is_taken(case, engine):
    place = Place(case).start()
    taken = socket.create_server(("127.0.0.1", 0))
    case.defer(taken.close)
    change = {"listen": [*place.config["inputs"]["forward"]["listen"], f"127.0.0.1:{taken.getsockname()[1]}"]}
    successor_that_fails(case, place, {"inputs": {**place.config["inputs"], "forward": {"type": "forward", **change}}}, 1)


def test_a_stranger_asks(case, engine):
    place = Place(case).start()
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"take over, v.9.\n"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect(str(place.gateway.data_dir / "handover.sock"))
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                equal("the answer", stranger.recv(100), b"")
    equal("it runs", place.gateway.running(), True)
    equal("exit code", place.gateway.take_over(), 0)


def test_connections_that_were_idle(case, engine):
    """A connection of the former gateway is closed when all of it was read; its peer's next record goes to the new one."""
    place = Place(case).start()
    idle = Connection(place.unix)
    case.defer(idle.close)
    idle.send(message("idle", {"log": "before"}))
    began = time.monotonic()
    equal("exit code", place.gateway.take_over(), 0)
    print(f"        the switch took {time.monotonic() - began:.2f} s")
    equal("closed without a word", idle.closed_by_peer(), b"")
    wait_until("the record", lambda: [r["log"] for r in place.service.once()] == ["before"])
