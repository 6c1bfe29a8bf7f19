"""PyPI's graypy and pygelf, and datagrams of our own where a client cannot send what the wire allows; floods of messages
that never become complete, beside senders that do everything right."""

import gzip
import json
import logging
import os
import random
import socket
import struct
import threading
import zlib

import graypy
import pygelf

from harness.certificates import Authority
from harness.gateway import free_port
from harness.wait import equal, wait_until

PEERS = ["debian"]

LINES = 1_000
# Random digits hardly shrink: over 8 KiB also when compressed, so that both clients cut it into chunks.
LONG = "".join(random.Random(8192).choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=24_000))
TEXTS = ["caf\u00e9 \U0001f600", 'a "quoted" text', LONG, "after the long one"]


def gateway_of(case, **keys):
    port = free_port()
    gateway = case.gateway({
        "inputs": {"forward": None, "gelf": {"type": "gelf", "listen": f"127.0.0.1:{port}", **keys}},
        "destinations": {"local": {"batch_age": "100ms"}},
    }, fixed_ports=True)
    gateway.gelf = port
    return gateway


def logged(case, gateway, handler, datagrams=False, **want):
    """A program with this handler logs, slowly enough for UDP, and all of it comes."""
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    case.defer(handler.close)
    for text in TEXTS:
        logger.warning(text, extra={"order": 17})
    for number in range(LINES):
        logger.info("line %d", number, extra={"order": number})
    found = gateway.records(len(TEXTS) + LINES)
    if datagrams:  # two of one millisecond may change places only if the client's clock lets them
        found.sort(key=lambda record: (record["log"] not in TEXTS, int(record["order"])))
    equal("texts", [r["log"] for r in found], TEXTS + [f"line {number}" for number in range(LINES)])
    first, line = found[0], found[-1]
    equal("levels", [first["level"], line["level"]], ["4", "6"])
    equal("a field of the program", [first["order"], line["order"]], ["17", str(LINES - 1)])
    equal("a level of no container is no stream", [r for r in found if "source" in r], [])
    equal("fields", {key: line.get(key) for key in want}, want)
    if not line.get("host") or line["__topic__"] != f"gelf.{line['host']}":
        raise AssertionError(f"host {line.get('host')!r}, topic {line['__topic__']!r}")


def test_graypy_udp(case):
    gateway = gateway_of(case)
    logged(case, gateway, graypy.GELFUDPHandler("127.0.0.1", gateway.gelf), datagrams=True)


def test_graypy_udp_uncompressed(case):
    gateway = gateway_of(case)
    logged(case, gateway, graypy.GELFUDPHandler("127.0.0.1", gateway.gelf, compress=False), datagrams=True)


def test_graypy_tcp(case):
    gateway = gateway_of(case)
    logged(case, gateway, graypy.GELFTCPHandler("127.0.0.1", gateway.gelf))


def test_graypy_tls(case):
    authority = Authority(case.directory)
    pair = authority.issue("gateway")
    gateway = gateway_of(case, tls={"certificate": pair.certificate, "key": pair.key})
    logged(case, gateway, graypy.GELFTLSHandler("localhost", gateway.gelf, validate=True, ca_certs=authority.file))


def test_pygelf_udp(case):
    gateway = gateway_of(case)
    handler = pygelf.GelfUdpHandler("127.0.0.1", gateway.gelf, include_extra_fields=True, _service="cart")
    logged(case, gateway, handler, datagrams=True, service="cart")


def test_pygelf_udp_uncompressed(case):
    gateway = gateway_of(case)
    handler = pygelf.GelfUdpHandler("127.0.0.1", gateway.gelf, compress=False, include_extra_fields=True)
    logged(case, gateway, handler, datagrams=True)


def test_pygelf_tcp(case):
    gateway = gateway_of(case)
    logged(case, gateway, pygelf.GelfTcpHandler("127.0.0.1", gateway.gelf, include_extra_fields=True))


def test_pygelf_tls(case):
    authority = Authority(case.directory)
    pair = authority.issue("gateway")
    gateway = gateway_of(case, tls={"certificate": pair.certificate, "key": pair.key})
    handler = pygelf.GelfTlsHandler(
        host="localhost", port=gateway.gelf, validate=True, ca_certs=authority.file, include_extra_fields=True
    )
    logged(case, gateway, handler)


# --- datagrams of our own


class Sender:
    def __init__(self, port, source="127.0.0.1"):
        self.socket, self.to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", port)
        self.socket.bind((source, 0))

    def send(self, *datagrams):
        for datagram in datagrams:
            self.socket.sendto(datagram, self.to)

    def close(self):
        self.socket.close()


def message(text, **fields):
    return json.dumps({"version": "1.1", "host": "db-1", "short_message": text, "level": 6, **fields}).encode()


def chunks(payload, size=1_400, count=None):
    identity, parts = os.urandom(8), [payload[at : at + size] for at in range(0, len(payload), size)]
    parts += [b""] * ((count or 0) - len(parts))
    return [b"\x1e\x0f" + identity + struct.pack("BB", at, len(parts)) + part for at, part in enumerate(parts)]


def test_every_form_on_one_port(case):
    gateway = gateway_of(case)
    sender = Sender(gateway.gelf)
    case.defer(sender.close)
    sender.send(message("plain"), gzip.compress(message("gzip")), zlib.compress(message("zlib")))
    for level in (0, 1, 9):
        sender.send(zlib.compress(message(f"zlib {level}"), level))
    in_chunks = {"in order": list, "backwards": lambda c: c[::-1], "doubled": lambda c: c + c}
    for name, order in in_chunks.items():
        sender.send(*order(chunks(gzip.compress(message(name, _long=LONG)))))
    sender.send(*chunks(message("empty last chunk"), size=200, count=3))
    most = message("128 chunks", _long="y" * 100_000)
    sender.send(*chunks(most, size=len(most) // 127))
    wanted = {"plain", "gzip", "zlib", "zlib 0", "zlib 1", "zlib 9", *in_chunks, "empty last chunk", "128 chunks"}
    found = gateway.records(len(wanted))
    equal("texts", {r["log"] for r in found}, wanted)
    equal("the field of chunked ones", {r["long"] for r in found if r["log"] in in_chunks}, {LONG})


def test_what_is_no_message(case):
    """Counted, and the next message is served."""
    gateway = gateway_of(case)
    sender = Sender(gateway.gelf)
    case.defer(sender.close)
    bomb = gzip.compress(message("bomb", _zeros="0" * 64 * 1024 * 1024))
    wrong = [
        b"", b"no json", b"[1, 2]", b"{}", b'{"short_message": "cut', b"\x1f\x8b broken gzip", b"\x78\x9c broken", b"\x1e\x0f", bomb[:9],
        b"\x1e\x0f12345678\x05\x05x", b"\x1e\x0f12345678\x00\x00x", b"\x1e\x0f12345678\x00\xffx",
    ]
    sender.send(*wrong, *chunks(bomb))
    sender.send(message("good"))
    (record,) = gateway.records(1)
    equal("the good one", record["log"], "good")
    if (memory := gateway.memory()) > 300 * 1024 * 1024:
        raise AssertionError(f"{memory} bytes of memory")
    dropped = gateway.metric("sluicegate_dropped_records_total") + gateway.metric("sluicegate_gelf_incomplete_total")
    # an empty datagram is nothing at all
    if dropped < len(wrong) - 1:
        raise AssertionError(f"{dropped} of {len(wrong)} wrong ones are counted")


def test_flood_of_incomplete_chunks(case):
    """A peer that begins messages and never ends them displaces its own; memory is bounded; good ones in chunks arrive."""
    gateway = gateway_of(case)
    flooder, good, enough = Sender(gateway.gelf, "127.0.0.2"), Sender(gateway.gelf), threading.Event()
    case.defer(flooder.close)
    case.defer(good.close)
    sent = 0

    def flood():
        nonlocal sent
        filler = b"z" * 1_400
        while not enough.is_set() and sent < 200_000:
            for _ in range(20):
                flooder.send(b"\x1e\x0f" + os.urandom(8) + b"\x00\x80" + filler)
                sent += 1
            # a datagram port slows nobody down: without a rest the kernel's buffer is what overflows, good ones included
            enough.wait(0.002)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    wait_until("the flood displaces its own", lambda: gateway.metric("sluicegate_gelf_incomplete_total") > 2_000, 60)
    before = gateway.memory()
    for number in range(200):
        good.send(*chunks(gzip.compress(message(f"good {number}", _long=LONG))))
        enough.wait(0.005)
    logs = gateway.log_service()
    wait_until("the good ones", lambda: logs.holds(200), 30, 0.2)
    lost = gateway.metric("sluicegate_datagrams_dropped_total")
    after = gateway.memory()
    enough.set()
    thread.join()
    equal("good ones, each once", len({r["log"] for r in gateway.records(200)}), 200)
    if after > before + 64 * 1024 * 1024:
        raise AssertionError(f"{before} bytes of memory became {after}")
    given_up = gateway.metric("sluicegate_gelf_incomplete_total")
    print(f"        {sent} chunks of messages without an end, {given_up:.0f} given up; kernel drops {lost:.0f}; {after >> 20} MiB")


def test_busy_port(case):
    """The message names the input, the address and what to do."""
    taken = socket.create_server(("127.0.0.1", 0))
    case.defer(taken.close)
    port = taken.getsockname()[1]
    for kind in ("syslog", "gelf", "splunk"):
        gateway = case.gateway({"inputs": {"forward": None, kind: {"type": kind, "listen": f"127.0.0.1:{port}"}}}, start=False, name=kind)
        gateway.start(wait=False)
        code = gateway.wait(20)
        said = gateway.log_text()
        if code == 0 or f"127.0.0.1:{port}" not in said or kind not in said or "in use" not in said:
            raise AssertionError(f"{kind}: ended with {code} and said {said[-400:]!r}")
        print(f"        {said.strip().splitlines()[-1][:200]}")
