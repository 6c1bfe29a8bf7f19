"""Fluent Bit's own bytes (data/fluent-bit) sent over a socket; a live fluent-bit, too, where one is on PATH.

What should arrive is read from the recordings by the msgpack library, so that nothing here repeats our decoder.
"""

import gzip
import io
import json
import pathlib
import shutil
import socket
import struct
import subprocess

import msgpack

from harness.forward import Connection, ack_of, message, new_chunk
from harness.wait import equal, wait_until

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "fluent-bit"
LOGS = [
    "default", "no-options", "fluentd-compat", "gzip", "ack", "integer-time", "metadata", "metadata-default",
    "record-accessor-tag", "event-type-logs",
]


def unpacker(data):
    return msgpack.Unpacker(io.BytesIO(data), raw=False, strict_map_key=False, timestamp=0)


def time_of(value):
    """(seconds, nanoseconds) of an integer, an EventTime or a `[time, metadata]` pair."""
    if isinstance(value, list):
        value = value[0]
    return (value, 0) if isinstance(value, int) else struct.unpack(">II", value.data)


def text_of(value):
    """A value as Log Service keeps it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Recording:
    """The messages of a file: what the gateway should store and answer."""

    def __init__(self, name):
        self.name, self.bytes = name, (DATA / f"{name}.bin").read_bytes()
        self.records, self.acks = [], b""
        for tag, second, *rest in unpacker(self.bytes):
            if isinstance(second, bytes):
                option = rest[0]
                blob = gzip.decompress(second) if option.get("compressed") == "gzip" else second
                entries = list(unpacker(blob)) if not option.get("fluent_signal") else []
            elif isinstance(second, list):
                entries, option = second, rest[0] if rest else {}
            else:
                entries, option = [[second, rest[0]]], rest[1] if len(rest) > 1 else {}
            self.acks += ack_of(option["chunk"]) if "chunk" in option else b""
            self.records += [(tag, time_of(at), {key: text_of(value) for key, value in record.items()}) for at, record in entries]


def replayed(case, name, pieces):
    """Sends the recording piece by piece to a gateway of its own; checks every ack byte and every record."""
    recording, gateway = Recording(name), case.gateway(name=name)
    with Connection(gateway.forward) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces(recording.bytes):
            connection.send(piece)
        equal("acks, byte by byte", connection.read(len(recording.acks)), recording.acks)
        connection.socket.shutdown(socket.SHUT_WR)
        equal("nothing else is said", connection.closed_by_peer(), b"")
    first = min(at for _, at, _ in recording.records)[0]
    logs, window = gateway.log_service(), {"since": first - 60, "until": first + 600}
    wait_until("the records", lambda: len(logs.page(**window)) >= len(recording.records), 20, 0.1)
    found = logs.search(**window)
    for (tag, (seconds, nanoseconds), record), got in zip(recording.records, found, strict=True):
        equal("tag", got["__topic__"], tag)
        equal("time", (got["__time__"], int(got.get("__time_ns_part__") or 0)), (seconds, nanoseconds))
        equal("fields", {key: got.get(key) for key in record}, record)


def whole(data):
    return [data]


def bytewise(data):
    return [data[at : at + 1] for at in range(len(data))]


def halves_across(data):
    """Cuts that never meet a message's end."""
    return [data[at : at + 97] for at in range(0, len(data), 97)]


def test_recordings(case):
    for name in LOGS:
        replayed(case, name, whole)


def test_recordings_in_odd_pieces(case):
    for name in LOGS:
        replayed(case, name, halves_across)


def test_recordings_byte_by_byte(case):
    for name in ("default", "gzip", "ack"):
        replayed(case, name, bytewise)


def test_signals_that_are_no_logs(case):
    """Metrics and traces cost nobody a log: the connection lives on, and the next log message is stored and acknowledged."""
    gateway = case.gateway()
    for name in ("event-type-metrics", "event-type-traces"):
        chunk = new_chunk()
        with Connection(gateway.forward) as connection:
            connection.send(Recording(name).bytes + message("after", {"log": f"after {name}"}, chunk=chunk))
            equal("ack", connection.ack(), chunk)
    logs = gateway.log_service()
    wait_until("both logs", lambda: logs.holds(2, '__topic__: "after"'))


def test_damaged_gzip_is_never_acknowledged(case):
    """A chunk that was cut on its way is refused by a close, so that the sender keeps it; the others are unharmed."""
    gateway = case.gateway()
    entries = msgpack.packb([msgpack.ExtType(0, struct.pack(">II", 1_795_386_200, 0)), {"log": "packed"}])
    packed = gzip.compress(entries)
    for damaged in (packed[:-6], packed[:-8] + b"\0\0\0\0" + packed[-4:], packed[: len(packed) // 2]):
        with Connection(gateway.forward) as connection:
            connection.send(msgpack.packb(["damaged", damaged, {"chunk": new_chunk(), "compressed": "gzip"}]))
            equal("closed without an ack", connection.closed_by_peer(), b"")
    chunk = new_chunk()
    with Connection(gateway.forward) as connection:
        members = gzip.compress(entries) + gzip.compress(entries)
        connection.send(msgpack.packb(["whole", members, {"chunk": chunk, "compressed": "gzip"}]))
        equal("two members, one ack", connection.ack(), chunk)
    logs, window = gateway.log_service(), {"since": 1_795_386_000, "until": 1_795_387_000}
    wait_until("both members' records", lambda: len(logs.page(**window)) >= 2)
    equal("topics", [r["__topic__"] for r in logs.search(**window)], ["whole", "whole"])


def test_live_fluent_bit(case):
    """Optional: only where a fluent-bit is on PATH."""
    program = shutil.which("fluent-bit")
    if program is None:
        print("        no fluent-bit on PATH: its recordings stand for it")
        return
    gateway = case.gateway()
    for options in ([], ["compress=gzip"], ["require_ack_response=true"], ["require_ack_response=true", "compress=gzip"]):
        tag = "live." + "".join(c for c in "".join(options) if c.isalpha()) if options else "live.default"
        command = [program, "-q", "-f", "1", "-i", "dummy", "-p", "samples=20", "-p", "rate=100", "-t", tag]
        command += ["-o", "forward", "-p", "host=127.0.0.1", "-p", f"port={gateway.forward}"]
        command += [word for option in options for word in ("-p", option)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            logs = gateway.log_service()
            wait_until(f"20 records of {tag}", lambda: logs.holds(20, f'__topic__: "{tag}"'))
            equal("records", len(logs.search(f'__topic__: "{tag}"')), 20)
        finally:
            process.terminate()
            process.wait(15)
