"""A live Fluent Bit against the forward input: every transport, every kind of key, every signal, and its resends.

Runs only where a fluent-bit is on PATH; without one, its recorded bytes stand for it (fluent_bit_replay). What it does
that these tests lean on: the id of a chunk is a hash of its bytes, so equal chunks have equal ids; without an answer it
waits for ever, and a closed connection makes it send the same chunk again.
"""

import contextlib
import http.client
import json
import time

from harness.certificates import Authority
from harness.fake_service import FakeService
from harness.fluent_bit import dummy, fluent_bit
from harness.forward import Connection
from harness.gateway import free_port
from harness.proxy import Proxy
from harness.wait import equal, wait_until

OPTIONAL = "fluent-bit"

COUNT = 20
FAST = {"destinations": {"local": {"batch_age": "100ms"}}}
SECRETS = ("a-shared-key", "wonder-land")
SECURITY = {
    "self_hostname": "gateway-1", "shared_key": "a-shared-key", "user_auth": True,
    "users": [{"username": "alice", "password": "wonder-land"}],
}
KEY = {"shared_key": "a-shared-key", "self_hostname": "edge-1"}
USER = {"username": "alice", "password": "wonder-land"}


def gateway_with(case, start=True, fixed_ports=False, **forward):
    return case.gateway({**FAST, "inputs": {"forward": forward}}, start=start, fixed_ports=fixed_ports)


def arrived(gateway, tag, count, logstore="default", **window):
    """The records of a tag, once there are so many; more are an error."""
    logs, query = gateway.log_service(), f'__topic__: "{tag}"'
    wait_until(f"{count} records of {tag}", lambda: len(logs.search(query, logstore, **window)) >= count, 30, 0.1)
    found = logs.search(query, logstore, **window)
    equal(f"records of {tag}", len(found), count)
    return found


def sends(case, gateway, tag, **output):
    """Fluent Bit with these options of its output brings COUNT records, each once."""
    with fluent_bit(case, tag.replace(".", "-"), dummy(tag, COUNT), port=gateway.forward, **output):
        for record in arrived(gateway, tag, COUNT):
            equal("fields", (record.get("log"), record.get("nested")), ("from fluent bit", '{"a":[1,null]}'))


def tls_of(authority):
    pair = authority.issue("gateway")
    return {"certificate": pair.certificate, "key": pair.key}


TLS = {"tls": "on", "tls__verify": "on", "tls__verify_hostname": "on", "tls__vhost": "localhost"}


# --- transports and options


def test_options(case):
    gateway = gateway_with(case)
    for name, output in (
        ("default", {}),
        ("ack", {"require_ack_response": True}),
        ("gzip", {"compress": "gzip"}),
        ("gzip-ack", {"compress": "gzip", "require_ack_response": True}),
        ("integer", {"time_as_integer": True}),
        ("legacy", {"retain_metadata_in_forward_mode": False}),
        ("compat", {"fluentd_compat": True}),
        ("options", {"send_options": True, "add_option": "team core"}),
    ):
        sends(case, gateway, f"plain.{name}", **output)


def test_record_accessor_tag_with_acks(case):
    """Message mode, and each record waits for the ack of the one before."""
    gateway = gateway_with(case)
    source = dummy("ignored", COUNT, {"log": "routed", "level": "warn"})
    with fluent_bit(case, "accessor", source, port=gateway.forward, tag="$level", require_ack_response=True):
        arrived(gateway, "warn", COUNT)


def test_unix_socket(case):
    path = case.short_directory() / "forward.sock"
    gateway = gateway_with(case, listen=["127.0.0.1:0", f"unix:{path}"])
    for name, output in (("plain", {}), ("ack", {"require_ack_response": True, "compress": "gzip"})):
        sends(case, gateway, f"unix.{name}", unix_path=str(path), **output)


def test_tls(case):
    authority = Authority(case.directory)
    gateway = gateway_with(case, tls=tls_of(authority))
    trust = {**TLS, "tls__ca_file": authority.file}
    sends(case, gateway, "tls.default", **trust)
    sends(case, gateway, "tls.ack", require_ack_response=True, compress="gzip", **trust)
    sends(case, gateway, "tls.old", tls__max_version="TLSv1.2", **trust)


def test_mutual_tls(case):
    authority, stranger = Authority(case.directory), Authority(case.directory, "a stranger")
    tls = {**tls_of(authority), "client_ca": authority.file, "client_names": ["edge-1.example"]}
    gateway = gateway_with(case, tls=tls, client_name_key="client", add_tag_prefix="${client}")
    trust = {**TLS, "tls__ca_file": authority.file}
    known, unlisted = authority.issue("edge-1", "DNS:edge-1.example"), authority.issue("edge-2", "DNS:edge-2.example")
    foreign = stranger.issue("edge-1", "DNS:edge-1.example")
    for name, pair in (("none", None), ("unlisted", unlisted), ("foreign", foreign)):
        certificate = {"tls__crt_file": pair.certificate, "tls__key_file": pair.key} if pair else {}
        before = gateway.metric("sluicegate_input_closed_total")
        with fluent_bit(case, name, dummy(name), port=gateway.forward, require_ack_response=True, **trust, **certificate):
            wait_until("a refusal is counted", lambda: gateway.metric("sluicegate_input_closed_total") > before)
    source = dummy("app", COUNT)
    with fluent_bit(
        case, "known", source, port=gateway.forward, tls__crt_file=known.certificate, tls__key_file=known.key, **trust
    ):
        found = arrived(gateway, "edge-1.example.app", COUNT)
        equal("the name in the certificate", {r.get("client") for r in found}, {"edge-1.example"})
    equal("nothing came from the others", len(gateway.log_service().search()), COUNT)


# --- keys


def test_shared_key(case):
    gateway = gateway_with(case, security={"self_hostname": "gateway-1", "shared_key": "a-shared-key"})
    sends(case, gateway, "key.default", **KEY)
    sends(case, gateway, "key.ack", require_ack_response=True, compress="gzip", **KEY)
    # the digest over a user that nobody asks for must not do harm
    sends(case, gateway, "key.user", **KEY, **USER)


def test_user(case):
    gateway = gateway_with(case, security=SECURITY)
    sends(case, gateway, "user.default", **KEY, **USER)
    sends(case, gateway, "user.ack", require_ack_response=True, **KEY, **USER)


def test_everything_at_once(case):
    authority = Authority(case.directory)
    client = authority.issue("edge-1", "DNS:edge-1.example")
    gateway = gateway_with(case, security=SECURITY, tls={**tls_of(authority), "client_ca": authority.file})
    sends(
        case, gateway, "all", require_ack_response=True, compress="gzip", tls__ca_file=authority.file,
        tls__crt_file=client.certificate, tls__key_file=client.key, **TLS, **KEY, **USER,
    )


def test_wrong_keys(case):
    """The reason stands in both logs; no key and no digest stands in ours."""
    gateway = gateway_with(case, security=SECURITY)
    for name, output, reason in (
        ("key", {**KEY, "shared_key": "not-the-key", **USER}, "shared_key mismatch"),
        ("password", {**KEY, "username": "alice", "password": "not-hers"}, "username/password mismatch"),
        ("nobody", {**KEY, "username": "nobody", "password": "wonder-land"}, "username/password mismatch"),
    ):
        with fluent_bit(case, name, dummy(name), port=gateway.forward, **output):
            log = case.directory / f"fluent-bit-{name}.log"
            wait_until(f"Fluent Bit says {reason}", lambda log=log, reason=reason: reason[:31] in log.read_text(errors="replace"))
            wait_until(f"the gateway says {reason}", lambda reason=reason: reason in gateway.log_text())
    equal("nothing was stored", gateway.log_service().search(), [])
    for secret in (*SECRETS, "not-the-key", "not-hers"):
        equal(f"{secret} in the log", secret in gateway.log_text(), False)


def test_keyless_client_on_a_secured_input(case):
    gateway = gateway_with(case, security=SECURITY)
    with fluent_bit(case, "keyless", dummy("keyless"), port=gateway.forward):
        wait_until("the gateway says why", lambda: "invalid ping message" in gateway.log_text())
    equal("nothing was stored", gateway.log_service().search(), [])


# --- metadata


def test_record_metadata(case):
    source = dummy("meta", 1, {"log": "with metadata"}, metadata=json.dumps({"trace": "abc", "deep": {"n": 7}}))
    for mode, want in (
        ("nested", {"metadata": {"trace": "abc", "deep": {"n": 7}}}),
        ("fields", {"metadata.trace": "abc", "metadata.deep.n": "7"}),
        ("drop", {}),
    ):
        gateway = case.gateway({**FAST, "inputs": {"forward": {"metadata": mode}}}, name=mode)
        with fluent_bit(case, mode, source, port=gateway.forward, retain_metadata_in_forward_mode=True):
            (record,) = arrived(gateway, "meta", 1)
        got = {key: value for key, value in record.items() if key.startswith("metadata")}
        got = {key: json.loads(value) for key, value in got.items()} if mode == "nested" else got
        equal(f"metadata as {mode}", got, want)


def otlp_post(port, path, body):
    """Posts OTLP as JSON to Fluent Bit; an error until it listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    if status not in (200, 201, 204):
        raise AssertionError(f"Fluent Bit answers {status}")
    return True


RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}


def test_otlp_logs(case):
    """Resource and scope come as a group that is begun and ended in the chunk: none of them is lost, no marker is a record."""
    port, nanoseconds = free_port(), time.time_ns()
    logs = [
        {"timeUnixNano": str(nanoseconds + n), "severityNumber": 9, "severityText": "INFO", "body": {"stringValue": f"line {n}"}}
        for n in range(3)
    ]
    scope = {"scope": {"name": "cart", "version": "1.2"}, "logRecords": logs}
    body = {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [scope]}]}
    gateway = gateway_with(case, metadata="fields")
    source = {"name": "opentelemetry", "listen": "127.0.0.1", "port": port, "tag": "otlp", "tag_from_uri": False}
    with fluent_bit(case, "otlp", source, port=gateway.forward, require_ack_response=True):
        wait_until("Fluent Bit takes OTLP", lambda: otlp_post(port, "/v1/logs", body))
        found = arrived(gateway, "otlp", 3)
    text = json.dumps(found[0])
    for word in ("shop", "cart", "1.2", "INFO", "line 0"):
        if word not in text:
            raise AssertionError(f"{word} was lost on the way: {text}")


# --- signals


def samples(gateway, least=1):
    logs = gateway.log_service()
    wait_until(f"{least} samples", lambda: logs.holds(least, "*", "default-metrics"), 30, 0.1)
    found = logs.search("*", "default-metrics")
    for sample in found:
        for key in ("__name__", "__labels__", "__time_nano__", "__value__"):
            if key not in sample:
                raise AssertionError(f"{key} is missing: {sample}")
        float(sample["__value__"])
        if any(label.count("#$#") != 1 for label in sample["__labels__"].split("|") if label):
            raise AssertionError(f"labels {sample['__labels__']!r}")
    return found


def labels_of(sample):
    return dict(label.split("#$#") for label in sample["__labels__"].split("|") if label)


def test_own_metrics(case):
    for name, output in (("plain", {}), ("gzip", {"compress": "gzip", "require_ack_response": True})):
        gateway = case.gateway({**FAST}, name=name)
        source = {"name": "fluentbit_metrics", "tag": "self", "scrape_interval": 1, "scrape_on_start": True}
        with fluent_bit(case, name, source, port=gateway.forward, **output):
            found = samples(gateway, 20)
        names = {sample["__name__"] for sample in found}
        equal("known names", {"fluentbit_build_info", "fluentbit_uptime"} - names, set())
        build = next(sample for sample in found if sample["__name__"] == "fluentbit_build_info")
        equal("its version", labels_of(build)["version"], "5.1.1")
        equal("none went to the logs", gateway.log_service().search(), [])


def test_node_metrics(case):
    gateway = gateway_with(case)
    source = {"name": "node_exporter_metrics", "tag": "node", "scrape_interval": 1}
    with fluent_bit(case, "node", source, port=gateway.forward, require_ack_response=True):
        found = samples(gateway, 100)
        logs = gateway.log_service()
        cpu = wait_until("CPU times", lambda: logs.search("__name__: node_cpu_seconds_total", "default-metrics"))
    equal("labels", set(labels_of(cpu[0])), {"cpu", "mode"})
    now = time.time_ns()
    for sample in found:
        if not abs(int(sample["__time_nano__"]) - now) < 600 * 1_000_000_000:
            raise AssertionError(f"the time of {sample}")


def test_event_type_metrics(case):
    gateway = gateway_with(case)
    source = {"name": "event_type", "type": "metrics", "tag": "m", "interval_sec": 1}
    with fluent_bit(case, "metrics", source, port=gateway.forward):
        samples(gateway)


def spans(gateway, count):
    logs = gateway.log_service()
    wait_until(f"{count} spans", lambda: logs.holds(count, "*", "default-traces"), 30, 0.1)
    return logs.search("*", "default-traces")


def test_event_type_traces(case):
    """Several trace contexts in one payload: every one is kept."""
    gateway = gateway_with(case)
    source = {"name": "event_type", "type": "traces", "tag": "t", "interval_sec": 1}
    with fluent_bit(case, "traces", source, port=gateway.forward, require_ack_response=True):
        found = spans(gateway, 4)
    equal("a span's name", {"main"} <= {value for span in found for value in span.values()}, True)


def test_otlp_traces(case):
    port, began = free_port(), time.time_ns()
    trace, parent, child = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
    span = {"traceId": trace, "kind": 2, "startTimeUnixNano": str(began), "endTimeUnixNano": str(began + 5_000_000)}
    body = {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"scope": {"name": "cart"}, "spans": [
        {**span, "spanId": parent, "name": "GET /cart", "status": {"code": "ERROR", "message": "broke"},
         "attributes": [{"key": "http.route", "value": {"stringValue": "/cart"}}]},
        {**span, "spanId": child, "parentSpanId": parent, "name": "select"},
    ]}]}]}
    gateway = gateway_with(case)
    source = {"name": "opentelemetry", "listen": "127.0.0.1", "port": port, "tag": "otlp", "tag_from_uri": False}
    with fluent_bit(case, "otlp", source, port=gateway.forward):
        wait_until("Fluent Bit takes OTLP", lambda: otlp_post(port, "/v1/traces", body))
        found = spans(gateway, 2)
    equal("spans", len(found), 2)
    for word in (trace, parent, child, "GET /cart", "select", "shop", "broke", "/cart"):
        if not any(word in value for span in found for value in map(str, span.values())):
            raise AssertionError(f"{word} was lost on the way: {found}")


# --- ids that are hashes


OLD = 1_795_000_000  # dummy with a fixed time: its records, and so its chunks, are equal byte for byte


def equal_chunks(tag, count):
    return dummy(tag, count, fixed_timestamp=True, start_time_sec=OLD, start_time_nsec=0, rate=2)


def test_equal_chunks_are_no_duplicates(case):
    """Five equal records, each in a chunk of its own with the same id as the others: five are stored."""
    gateway = gateway_with(case)
    for name, output in (("one", {"workers": 1}), ("two", {"workers": 2}), ("fresh", {"net__keepalive": "off"})):
        with fluent_bit(case, name, equal_chunks(name, 5), port=gateway.forward, require_ack_response=True, **output):
            arrived(gateway, name, 5, since=OLD - 60, until=OLD + 60)


def resent(case, gateway, tag, disturb):
    """Fluent Bit's chunk is stored but it never hears so; after `disturb` it sends it again, and then goes on."""
    proxy = Proxy(gateway.forward)
    case.defer(proxy.close)
    proxy.swallow = True
    with fluent_bit(case, tag, equal_chunks(tag, 1), port=proxy.port, require_ack_response=True):
        wait_until("the ack is swallowed", lambda: proxy.swallowed)
        proxy.swallow = False
        disturb(proxy)
        wait_until("the resend is acknowledged", lambda: gateway.metric("sluicegate_duplicates_total") >= 1)


def test_lost_ack(case):
    """The connection breaks; one that is closed in order would say that the ack was read, and the next equal chunk is new."""
    gateway = gateway_with(case)
    resent(case, gateway, "cut", lambda proxy: proxy.cut(reset=True))
    arrived(gateway, "cut", 1, since=OLD - 60, until=OLD + 60)


def test_kill_between_store_and_ack(case):
    service = FakeService().up()  # knows a LogGroup that comes twice after a kill by its pack_id
    case.defer(service.close)
    gateway = case.gateway({"destinations": {"cloud": service.destination(batch_age="100ms")}}, fixed_ports=True)

    def kill(proxy):
        gateway.kill()
        gateway.start()
        proxy.cut()

    resent(case, gateway, "killed", kill)
    with Connection(gateway.forward) as connection:
        connection.acknowledged("after", {"log": "last"})
    wait_until("both", lambda: {"after", "killed"} <= {r["__topic__"] for r in service.once()})
    equal("stored", [r["__topic__"] for r in service.once()].count("killed"), 1)
    equal("complaints of the service", service.complaints, [])
