"""The fluent-logger clients of PyPI and npm, each in every mode it has, unmodified."""

from fluent import asyncsender, sender

from harness.log_service import numbered
from harness.node import send
from harness.wait import equal

PEERS = ["npm"]
COUNT = 500
FAST = {"destinations": {"local": {"batch_age": "100ms"}}}


# --- PyPI fluent-logger


def emit_all(client, label, records):
    for record in records:
        if not client.emit(label, record):
            raise AssertionError(f"emit: {client.last_error}")


def test_python_sender(case):
    gateway = case.gateway(FAST)
    client = sender.FluentSender("py", host="127.0.0.1", port=gateway.forward)
    values = {"text": "café 日志", "float": 1.5, "true": True, "nil": None, "map": {"a": [1, "b"]}, "bytes": b"raw", "big": 2**63}
    emit_all(client, "sync", [{"number": n, **values} for n in range(COUNT)])
    client.close()
    record = numbered(gateway, "py.sync", COUNT)[7]
    want = {
        "text": "café 日志", "float": "1.5", "true": "true", "nil": "", "map": '{"a":[1,"b"]}', "bytes": "raw",
        "big": "9223372036854775808",
    }
    equal("values as text", {key: record.get(key) for key in want}, want)


def test_python_sender_with_nanoseconds(case):
    gateway = case.gateway(FAST)
    client = sender.FluentSender("py", host="127.0.0.1", port=gateway.forward, nanosecond_precision=True)
    emit_all(client, "nano", [{"number": n} for n in range(COUNT)])
    client.close()
    records = numbered(gateway, "py.nano", COUNT)
    times = [(r["__time__"], int(r["__time_ns_part__"])) for _, r in sorted(records.items())]
    equal("times ascend with the numbers", times, sorted(times))
    if not any(ns for _, ns in times):
        raise AssertionError("no record has nanoseconds")


def test_python_async_sender(case):
    gateway = case.gateway(FAST)
    client = asyncsender.FluentSender("py", host="127.0.0.1", port=gateway.forward, nanosecond_precision=True, queue_maxsize=COUNT)
    emit_all(client, "async", [{"number": n} for n in range(COUNT)])
    client.close()
    numbered(gateway, "py.async", COUNT)


# --- npm


def node(case, script, mode, ack, count=COUNT):
    gateway = case.gateway(FAST)
    send(case, script, gateway.forward, mode, ack, count)
    record = numbered(gateway, "js.events", count)[8]
    want = {"text": "record 8 日志", "nested": '{"list":[1,null,true]}'}
    equal("values", {key: record.get(key) for key in want}, want)


def test_fluent_logger_message(case):
    node(case, "fluent-logger.js", "Message", "no-ack")


def test_fluent_logger_message_acks(case):
    node(case, "fluent-logger.js", "Message", "ack")


def test_fluent_logger_packed(case):
    node(case, "fluent-logger.js", "PackedForward", "no-ack")


def test_fluent_logger_packed_acks(case):
    node(case, "fluent-logger.js", "PackedForward", "ack")


def test_fluent_logger_compressed(case):
    node(case, "fluent-logger.js", "CompressedPackedForward", "no-ack")


def test_fluent_logger_compressed_acks(case):
    node(case, "fluent-logger.js", "CompressedPackedForward", "ack")


def test_fluent_org_message_acks(case):
    node(case, "fluent-org-logger.js", "Message", "ack")


def test_fluent_org_forward(case):
    node(case, "fluent-org-logger.js", "Forward", "no-ack")


def test_fluent_org_forward_acks(case):
    node(case, "fluent-org-logger.js", "Forward", "ack")


def test_fluent_org_packed_acks(case):
    node(case, "fluent-org-logger.js", "PackedForward", "ack")


def test_fluent_org_compressed(case):
    node(case, "fluent-org-logger.js", "CompressedPackedForward", "no-ack")


def test_fluent_org_compressed_acks(case):
    node(case, "fluent-org-logger.js", "CompressedPackedForward", "ack")
