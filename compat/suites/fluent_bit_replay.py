"""Fluent Bit's own bytes (data/fluent-bit) sent over a socket.

What should arrive is read from the recordings by the msgpack library, so that nothing here repeats our decoder. A live
Fluent Bit is a suite of its own (forward_fluent_bit).
"""

import gzip
import io
import json
import pathlib
import socket
import struct

import msgpack

from harness.forward import Connection, ack_of, message, new_chunk
from harness.handshake import Client
from harness.wait import equal, wait_until

FAST = {"destinations": {"local": {"batch_age": "100ms"}}}
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
    recording, gateway = Recording(name), case.gateway(FAST, name=name)
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


# --- after a handshake


def test_recordings_after_a_handshake(case):
    """What a Fluent Bit with a key says after its PING; the PING itself was an answer to another nonce."""
    security = {"self_hostname": "gateway-1", "shared_key": "s3cr3t"}
    user = {"user_auth": True, "users": [{"username": "alice", "password": "wonder"}]}
    for name, config, client in (
        ("shared-key", security, Client("s3cr3t", "edge-1")),
        ("shared-key-user", {**security, **user}, Client("s3cr3t", "edge-1", "alice", "wonder")),
    ):
        data = (DATA / f"{name}.bin").read_bytes()
        recorded = msgpack.Unpacker(io.BytesIO(data), raw=False, unicode_errors="surrogateescape")
        ping = recorded.unpack()
        equal("the recording begins with", (ping[0], ping[1]), ("PING", "edge-1"))
        rest = data[recorded.tell() :]
        gateway = case.gateway({**FAST, "inputs": {"forward": {"security": config}}}, name=name)
        with Connection(gateway.forward) as connection:  # the old PING, over a fresh nonce
            equal("greeting", connection.answer()[0], "HELO")
            connection.send(data)
            equal("the recorded digest", connection.answer(), ["PONG", False, "shared_key mismatch", "", ""])
        with Connection(gateway.forward) as connection:
            equal("refusal", connection.greet(client), None)
            connection.send(rest)
            connection.socket.shutdown(socket.SHUT_WR)
            equal("nothing else is said", connection.closed_by_peer(), b"")
        wanted = [(tag, entries) for tag, entries, *_ in unpacker(rest)]
        first = time_of(wanted[0][1][0][0])[0]
        logs, window = gateway.log_service(), {"since": first - 60, "until": first + 600}
        wait_until("the records", lambda logs=logs, window=window: len(logs.page(**window)) >= len(wanted), 20, 0.1)
        equal("tags", [r["__topic__"] for r in logs.search(**window)], [tag for tag, _ in wanted])


# --- signals


def contexts(name):
    """The context maps of a recording of metrics or traces, with their times left as they are."""
    return [context for _, blob, _ in unpacker((DATA / f"{name}.bin").read_bytes()) for context in unpacker(blob)]


def sample_key(name, labels):
    return name, "|".join(f"{key}#$#{value}" for key, value in sorted(labels.items()))


def wanted_samples(name):
    """Every sample that the contexts hold: name and labels -> values; a histogram's and a summary's series by their counts."""
    wanted = {}

    def add(metric, labels, value):
        wanted.setdefault(sample_key(metric, labels), []).append(float(value))

    for context in contexts(name):
        static = dict(context["meta"]["processing"]["static_labels"])
        for metric in context["metrics"]:
            meta = metric["meta"]
            metric_name = "_".join(part for part in (meta["opts"][key] for key in ("ns", "ss", "name")) if part)
            for value in metric["values"]:
                labels = {k: v for k, v in zip(meta["labels"], value.get("labels", []), strict=False) if v}
                labels = {**static, **labels}
                if "histogram" in value:
                    histogram = value["histogram"]
                    add(f"{metric_name}_count", labels, histogram["count"])
                    add(f"{metric_name}_sum", labels, histogram["sum"])
                elif "summary" in value:
                    add(f"{metric_name}_count", labels, value["summary"]["count"])
                else:
                    add(metric_name, labels, value["value"])
    return wanted


def test_metrics(case):
    """Each sample of each context, with its labels and its value to the last digit."""
    for name in ("event-type-metrics", "own-metrics", "node-metrics"):
        gateway, wanted = case.gateway(FAST, name=name), wanted_samples(name)
        with Connection(gateway.forward) as connection:
            connection.send((DATA / f"{name}.bin").read_bytes())
            connection.acknowledged("after", {"log": "after the metrics"})
        logs = gateway.log_service()
        wait_until("the log behind them", lambda logs=logs: logs.holds(1, '__topic__: "after"'))
        window = {"since": 0}  # Fluent Bit has samples of its own without a time
        least = sum(map(len, wanted.values()))
        wait_until("the samples", lambda logs=logs: len(logs.search("*", "default-metrics", **window)) >= least, 20, 0.2)
        found = {}
        for sample in logs.search("*", "default-metrics", **window):
            found.setdefault((sample["__name__"], sample["__labels__"]), []).append(float(sample["__value__"]))
        for key, values in wanted.items():
            equal(f"values of {key}", found.get(key), values)
        # what nobody asked for are the buckets and quantiles, and sums of summaries
        rest = {name for name, _ in found.keys() - wanted.keys()}
        equal("other series", {n for n in rest if not n.endswith(("_bucket", "_sum")) and not quantile_of(n, wanted)}, set())
        equal("metrics among the logs", [r["__topic__"] for r in logs.search()], ["after"])


def quantile_of(name, wanted):
    return any(known == f"{name}_count" for known, _ in wanted)


def test_traces(case):
    gateway = case.gateway(FAST)
    with Connection(gateway.forward) as connection:
        connection.send((DATA / "event-type-traces.bin").read_bytes())
        connection.acknowledged("after", {"log": "after the traces"})
    spans = [
        span
        for context in contexts("event-type-traces")
        for resource in context["resourceSpans"] for scope in resource["scope_spans"] for span in scope["spans"]
    ]
    at = int(spans[0]["start_time_unix_nano"]) // 1_000_000_000
    logs, window = gateway.log_service(), {"since": at - 600, "until": at + 600}
    wait_until("the spans", lambda: len(logs.search("*", "default-traces", **window)) >= len(spans), 20, 0.1)
    found = logs.search("*", "default-traces", **window)
    equal("spans", len(found), len(spans))
    for span in spans:
        if not any({span["trace_id"], span["span_id"], span["name"]} <= set(map(str, got.values())) for got in found):
            raise AssertionError(f"span {span['name']} {span['span_id']} was lost: {found}")


def test_signals_that_are_no_logs(case):
    """Metrics and traces cost nobody a log: the connection lives on, and the next log message is stored and acknowledged.
    The same of a signal that nobody knows."""
    gateway = case.gateway(FAST)
    unknown = msgpack.packb(["strange", b"\x81\xa1a\x01", {"fluent_signal": 9}])
    signals = {name: (DATA / f"{name}.bin").read_bytes() for name in ("event-type-metrics", "event-type-traces")}
    for name, data in {**signals, "unknown": unknown}.items():
        chunk = new_chunk()
        with Connection(gateway.forward) as connection:
            connection.send(data + message("after", {"log": f"after {name}"}, chunk=chunk))
            equal("ack", connection.ack(), chunk)
    logs = gateway.log_service()
    wait_until("the logs", lambda: logs.holds(3, '__topic__: "after"'))


# --- damage


def test_damaged_gzip_is_never_acknowledged(case):
    """A chunk that was cut on its way is refused by a close, so that the sender keeps it; the others are unharmed."""
    gateway = case.gateway(FAST)
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
