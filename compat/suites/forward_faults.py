"""Clients that are slow, stuck, rude or wrong: each costs its own connection at most, and never another client's time.

Beside every one of them good clients send with acks. Nothing is measured in seconds here: a test says what must come in
the end, and in which order.
"""

import contextlib
import gzip
import socket
import threading

import msgpack

from harness.certificates import Authority
from harness.fake_service import FakeService
from harness.forward import AckedSender, Connection, event_time, message, new_chunk
from harness.proxy import Proxy
from harness.wait import equal, wait_until

FAST = {"destinations": {"local": {"batch_age": "100ms"}}}
MIB = 1024 * 1024


def gateway_with(case, config=None, **forward):
    return case.gateway({**FAST, **(config or {}), "inputs": {"forward": forward}})


def good_clients_work(gateway, count=500, connections=4):
    """`count` records in all, each acknowledged and stored once."""
    senders = [AckedSender(gateway.forward, f"good{i}", "good", window=8) for i in range(connections)]
    before = {sender.name: 0 for sender in senders}
    for sender in senders:
        sender.start()
    wait_until("acks for good clients", lambda: all(len(sender.acked) >= count // connections for sender in senders), 60)
    for sender in senders:
        sender.finish()
    equal("good clients had to reconnect", {s.name: s.connections - 1 for s in senders}, before)


class Drip(threading.Thread):
    """Sends bytes one by one, slowly, until it is done, closed, or told to hurry: then the rest at once."""

    def __init__(self, connection, data, every):
        super().__init__(daemon=True)
        self.connection, self.data, self.every = connection, data, every
        self.sent, self.closed, self._hurry = 0, False, threading.Event()
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while self.sent < len(self.data) and not self._hurry.wait(self.every):
                self.connection.send(self.data[self.sent : self.sent + 1])
                self.sent += 1
            self.connection.send(self.data[self.sent :])
            return
        self.closed = True

    def finish(self):
        self._hurry.set()
        self.join(10)


# --- slow


def test_byte_by_byte(case):
    """A byte a second is progress: such a client is served, in its own time, while others are served in theirs."""
    gateway = gateway_with(case, stall_timeout="5s")
    slow = []
    for number in range(20):
        connection, chunk = Connection(gateway.forward, timeout=30), new_chunk()
        case.defer(connection.close)
        slow.append((connection, chunk, Drip(connection, message("slow", {"number": number, "log": "x" * 60}, chunk=chunk), 1)))
    good_clients_work(gateway)
    for connection, chunk, drip in slow:
        drip.finish()
        equal("the slow one's ack", connection.ack(), chunk)
    logs = gateway.log_service()
    wait_until("the slow records", lambda: logs.holds(20, '__topic__: "slow"'))


def test_stuck_in_a_message(case):
    """Half a message and then nothing: closed after the stall time-out, counted, one line in the log; nothing stored."""
    gateway = gateway_with(case, stall_timeout="1s")
    stuck = [Connection(gateway.forward, timeout=30) for _ in range(50)]
    for connection in stuck:
        case.defer(connection.close)
        connection.send(message("stuck", {"log": "x" * 100}, chunk=new_chunk())[:60])
    good_clients_work(gateway)
    for connection in stuck:
        equal("closed without an answer", connection.closed_by_peer(), b"")

    def stalled():
        return sum(value for name, value in gateway.metrics().items() if "input_closed" in name and '"stalled"' in name)

    wait_until("50 stalled connections are counted", lambda: stalled() == 50)
    equal("nothing of them was stored", gateway.log_service().search('__topic__: "stuck"'), [])


def test_idle_is_no_fault(case):
    """Between messages a client may be silent for as long as it likes."""
    gateway = gateway_with(case, stall_timeout="1s")
    with Connection(gateway.forward) as idle, Connection(gateway.forward, timeout=30) as stuck:
        idle.acknowledged("idle", {"log": "before"})
        stuck.send(b"\x93")  # its end shows that the time-out has passed
        equal("the stuck one's end", stuck.closed_by_peer(), b"")
        idle.acknowledged("idle", {"log": "after"})


def closed_at_the_deadline(case, gateway, data, greeting):
    """Five at a time that drip `data`: each is closed before it is through, having been told `greeting`."""
    slow = []
    for _ in range(5):
        connection = Connection(gateway.forward, timeout=30)
        case.defer(connection.close)
        slow.append((connection, Drip(connection, data, 0.1)))
    for connection, drip in slow:
        said = connection.closed_by_peer()
        equal("the greeting", greeting in said, True)
        equal("it was through before", drip.sent >= len(data), False)
        drip.finish()


def test_slow_handshake(case):
    """The handshake as a whole has its deadline: a byte now and then does not stretch it."""
    gateway = gateway_with(case, handshake_timeout="1s", security={"self_hostname": "gateway-1", "shared_key": "a-shared-key"})
    ping = msgpack.packb(["PING", "slow", "salt", "0" * 128, "", ""])
    closed_at_the_deadline(case, gateway, ping, b"HELO")


def test_slow_tls_handshake(case):
    authority = Authority(case.directory)
    pair = authority.issue("gateway")
    gateway = gateway_with(case, handshake_timeout="1s", tls={"certificate": pair.certificate, "key": pair.key})
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    closed_at_the_deadline(case, gateway, hello, b"")
    with Connection(gateway.forward, tls=authority.client()) as connection:
        connection.acknowledged("good", {"log": "in"})


# --- clients that do not read


def test_acks_that_nobody_reads(case):
    """Such a client is stopped at a bound of bytes; the others go on; when it reads again, every ack is there, in order."""
    gateway = gateway_with(case)
    with Connection(gateway.forward, timeout=60, receive_buffer=4096) as deaf:
        # 24 MB of acks, more than the kernel keeps for two sockets
        chunks, taken = [f"{n:0>200}" for n in range(120_000)], [0]
        data = [message("deaf", {"n": n}, chunk=chunk) for n, chunk in enumerate(chunks)]

        def send_all():
            with contextlib.suppress(OSError):
                for at in range(0, len(data), 100):
                    deaf.send(b"".join(data[at : at + 100]))
                    taken[0] = at + 100

        sending = threading.Thread(target=send_all, daemon=True)
        sending.start()
        good_clients_work(gateway)
        equal("the client has to wait", sending.is_alive(), True)
        resident = gateway.memory()
        if resident > 256 * MIB:
            raise AssertionError(f"{resident / MIB:.0f} MiB are held for a client that does not read")
        for number, chunk in enumerate(chunks):
            got = deaf.ack()
            if got != chunk:
                raise AssertionError(f"ack {number} is {got!r}, want {chunk!r}; {taken[0]} messages were taken")
        sending.join(10)


def test_reset_with_acks_under_way(case):
    """A peer that goes away with a reset in the middle of everything, many times over."""
    gateway = gateway_with(case)
    for _ in range(200):
        connection = Connection(gateway.forward)
        connection.send(b"".join(message("gone", {"log": "x"}, chunk=new_chunk()) for _ in range(20)))
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    good_clients_work(gateway)
    wait_until("all are gone", lambda: gateway.metric("sluicegate_connections_open") == 0)


# --- wrong bytes


def test_foreign_bytes(case):
    """Each costs its connection, is counted by its reason, and harms nobody."""
    gateway = gateway_with(case)
    depth = b"\x91" * 100_000
    bomb = gzip.compress(b"\0" * (300 * MIB), 1)
    for what, data in (
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"),
        ("PROXY", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
        ("syslog", b"<34>1 2026-01-01T00:00:00Z host app - - - hello\n"),
        ("an integer", b"\x00" * 64),
        ("4 GiB declared", b"\xdd\xff\xff\xff\xff"),
        ("4 GiB of text declared", b"\x93\xdb\xff\xff\xff\xff"),
        ("depth", b"\x93\xa3tag\x01" + depth),
        ("a bomb", msgpack.packb(["bomb", bomb, {"chunk": new_chunk(), "compressed": "gzip"}])),
    ):
        with Connection(gateway.forward, timeout=30) as connection:
            with contextlib.suppress(OSError):  # closed while we still send
                connection.send(data)
            said = connection.closed_by_peer()
            equal(f"an answer to {what}", said, b"")
    good_clients_work(gateway)
    if gateway.memory() > 400 * MIB:
        raise AssertionError(f"{gateway.memory() / MIB:.0f} MiB after bad input")


def test_message_over_the_limit_is_refused_visibly(case):
    """chunk_size_limit: acknowledged, so that it is not sent for ever, and kept as a dead letter, not in silence."""
    gateway = gateway_with(case, chunk_size_limit="64KiB")
    with Connection(gateway.forward) as connection:
        connection.acknowledged("large", {"log": "x" * 100_000})
        connection.acknowledged("small", {"log": "y"})
    logs = gateway.log_service()
    wait_until("the small one", lambda: logs.holds(1, '__topic__: "small"'))
    equal("the large one is no record", logs.search('__topic__: "large"'), [])
    letters = [path.stat().st_size > 100_000 for path in (gateway.data_dir / "refused").iterdir()]
    equal("dead letters, as large as the message", letters, [True])


# --- proxies


def test_proxy_protocol(case):
    """Believed from the networks that are listed, there it must come; from all others it is foreign bytes."""
    gateway = gateway_with(case, proxy_protocol=["127.0.0.0/30"], source_address_key="from")
    header = b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 24224\r\n"
    with Connection(gateway.forward) as connection:
        for byte in header:  # nobody promises that it comes in one piece
            connection.send(bytes([byte]))
        connection.acknowledged("proxied", {"log": "x"})
    with Connection(gateway.forward, source="127.0.0.77") as connection:
        connection.acknowledged("direct", {"log": "x"})
    for source, data in (("127.0.0.77", header), ("127.0.0.1", message("bare", {"log": "x"}))):
        with Connection(gateway.forward, source=source, timeout=30) as connection:
            connection.send(data + message("bad", {"log": "x"}, chunk=new_chunk()))
            equal(f"an answer to {source}", connection.closed_by_peer(), b"")
    logs = gateway.log_service()
    wait_until("both records", lambda: logs.holds(2))
    found = {r["__topic__"]: r["from"] for r in logs.search()}
    equal("addresses", found, {"proxied": "198.51.100.7", "direct": "127.0.0.77"})


# --- limits of connections


def test_connections_of_one_peer(case):
    """max_connections_per_peer: one address cannot take the places of the others."""
    gateway = gateway_with(case, max_connections_per_peer=5, max_connections=50)
    greedy = []
    for _ in range(5):
        connection = Connection(gateway.forward, source="127.0.0.66")
        case.defer(connection.close)
        connection.acknowledged("greedy", {"log": "in"})
        greedy.append(connection)
    for _ in range(20):
        with Connection(gateway.forward, source="127.0.0.66") as refused:
            equal("the one too many", refused.closed_by_peer(), b"")
    good_clients_work(gateway)
    greedy.pop().close()

    def in_again():
        with Connection(gateway.forward, source="127.0.0.66") as connection:
            connection.acknowledged("greedy", {"log": "in again"})
            return True

    wait_until("a place that became free is given away", in_again)


# --- duplicates, with ids of both kinds


def test_resend_of_a_random_id(case):
    """An ack that got lost: the same message over a new connection is acknowledged and not stored again; over and over."""
    gateway = gateway_with(case)
    chunk = "c2x1aWNlZ2F0ZS1jb21wYXQ=\n"  # 25 characters with a newline, as Fluentd writes them
    data = message("again", {"log": "once"}, chunk=chunk)
    proxy = Proxy(gateway.forward)
    case.defer(proxy.close)
    proxy.swallow = True
    with Connection(proxy.port) as connection:
        connection.send(data)
        wait_until("the ack is swallowed", lambda: proxy.swallowed)
    for _ in range(200):
        with Connection(gateway.forward) as connection:
            connection.send(data)
            equal("ack", connection.ack(), chunk)
    with Connection(gateway.forward) as connection:
        connection.send(data * 100)
        equal("acks on one connection", {connection.ack() for _ in range(100)}, {chunk})
        connection.acknowledged("after", {"log": "last"})
    logs = gateway.log_service()
    wait_until("the last one", lambda: logs.holds(1, '__topic__: "after"'))
    equal("stored", [r["log"] for r in logs.search('__topic__: "again"')], ["once"])
    equal("counted", gateway.metric("sluicegate_duplicates_total"), 300)


def test_resend_over_a_kill(case):
    """Stored, but the ack never came: kill -9, and the message is known again afterwards, whichever kind of id it has."""
    service = FakeService().up()
    case.defer(service.close)
    gateway = case.gateway({"destinations": {"cloud": service.destination(batch_age="100ms")}}, fixed_ports=True)
    proxy = Proxy(gateway.forward)
    case.defer(proxy.close)
    proxy.swallow = True
    ids = {"fluentd": "c2x1aWNlZ2F0ZS1jb21wYXQ=\n", "uuid": "0d9c2a4e-6a0e-4a52-8a7c-5f5e1a2b3c4d", "hash": new_chunk()}
    messages = {tag: message(tag, {"log": "once"}, chunk=chunk) for tag, chunk in ids.items()}
    for tag, data in messages.items():
        before = proxy.swallowed
        connection = Connection(proxy.port)
        case.defer(connection.close)
        connection.send(data)
        wait_until(f"the ack of {tag} is swallowed", lambda before=before: proxy.swallowed > before)
    gateway.kill()
    proxy.cut()
    gateway.start()
    for tag, data in messages.items():
        with Connection(gateway.forward) as connection:
            connection.send(data)
            equal(f"ack of {tag}", connection.ack(), ids[tag])
            connection.acknowledged("after", {"log": tag})
    wait_until("the last ones", lambda: [r["__topic__"] for r in service.once()].count("after") == 3)
    wait_until("the first ones", lambda: set(ids) <= {r["__topic__"] for r in service.once()})
    topics = [r["__topic__"] for r in service.once()]
    equal("records by tag", {tag: topics.count(tag) for tag in ids}, dict.fromkeys(ids, 1))
    equal("counted", gateway.metric("sluicegate_duplicates_total"), 3)
    equal("complaints of the service", service.complaints, [])


def test_one_id_for_different_data(case):
    """The id alone says nothing: other bytes, or another tag, under a known id are new."""
    gateway = gateway_with(case)
    chunk, at = new_chunk(), event_time().data
    with Connection(gateway.forward) as connection:
        for tag, record in (("same", {"log": "one"}), ("same", {"log": "two"}), ("other", {"log": "one"})):
            connection.send(msgpack.packb([tag, msgpack.ExtType(0, at), record, {"chunk": chunk}]))
            equal("ack", connection.ack(), chunk)
    logs = gateway.log_service()
    wait_until("all three", lambda: logs.holds(3))
    equal("records", len(logs.search()), 3)
    equal("counted as duplicates", gateway.metric("sluicegate_duplicates_total"), 0)


def test_duplicates_switched_off(case):
    gateway = gateway_with(case, {"duplicates": {"window": "0s"}})
    chunk = "c2x1aWNlZ2F0ZS1jb21wYXQ=\n"
    with Connection(gateway.forward) as connection:
        connection.send(message("again", {"log": "twice"}, at=0, chunk=chunk) * 2)
        equal("acks", [connection.ack(), connection.ack()], [chunk, chunk])
    logs = gateway.log_service()
    wait_until("both", lambda: logs.holds(2))
