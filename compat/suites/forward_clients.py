"""Clients of the forward protocol apart from the usual: Debian's Go library in every way it can send, JSON streams, Unix
sockets, and the heartbeats of Fluentd's and Fluency's outputs."""

import json
import socket
import subprocess

from fluent import asyncsender, sender

from harness.certificates import Authority
from harness.forward import Connection
from harness.handshake import Client
from harness.log_service import numbered
from harness.node import send
from harness.wait import equal, wait_until

PEERS = ["npm", "go"]
COUNT = 300
FAST = {"destinations": {"local": {"batch_age": "100ms"}}}


def gateway_with(case, **forward):
    return case.gateway({**FAST, "inputs": {"forward": forward}})


def unix_gateway(case):
    path = case.short_directory() / "forward.sock"
    return gateway_with(case, listen=["127.0.0.1:0", f"unix:{path}"]), str(path)


# --- Go


def go(case, gateway, tag, *options, environment=None):
    """Runs the Go client; every post is good, every record arrives with its values."""
    done = subprocess.run(
        [str(case.work / "go-client"), "-port", str(gateway.forward), "-tag", tag, "-count", str(COUNT), *options],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=environment,
    )
    equal("what the Go client says", (done.returncode, done.stdout.strip(), done.stderr[-500:]), (0, f"good {COUNT}", ""))
    records = numbered(gateway, tag, COUNT)
    want = {"text": 'record 8 "日志" \\ \u2028', "float": "1.5", "nil": "", "true": "true", "nested": '{"list":[1,2]}'}
    equal("values", {key: records[8].get(key) for key in want}, want)
    return records


def test_go_message(case):
    gateway = gateway_with(case)
    go(case, gateway, "go.message")
    go(case, gateway, "go.acks", "-ack")
    go(case, gateway, "go.async", "-async", "-ack")


def test_go_sub_second(case):
    records = go(case, gateway_with(case), "go.subsecond", "-subsecond", "-ack")
    if not any(int(r.get("__time_ns_part__") or 0) for r in records.values()):
        raise AssertionError("no record has nanoseconds")


def test_go_json(case):
    """MarshalAsJSON: a stream of JSON texts; asked for acks, it reads JSON, too."""
    gateway = gateway_with(case)
    go(case, gateway, "go.json", "-json")
    go(case, gateway, "go.json.async", "-json", "-async")
    with Connection(gateway.forward) as connection:
        chunk = 'id "1"'
        connection.send(json.dumps(["json.ack", 0, {"number": 0}, {"chunk": chunk}]).encode())
        want = json.dumps({"ack": chunk}, separators=(",", ":")).encode()
        equal("an ack in JSON", connection.read(len(want)), want)
    numbered(gateway, "json.ack", 1)


def test_go_unix(case):
    gateway, path = unix_gateway(case)
    go(case, gateway, "go.unix", "-network", "unix", "-path", path)
    go(case, gateway, "go.unix.acks", "-network", "unix", "-path", path, "-ack", "-subsecond")


def test_go_tls(case):
    authority = Authority(case.directory)
    pair = authority.issue("gateway")
    gateway = gateway_with(case, tls={"certificate": pair.certificate, "key": pair.key})
    # this library trusts what the system trusts
    trust = {"SSL_CERT_FILE": authority.file, "SSL_CERT_DIR": "/nonexistent"}
    go(case, gateway, "go.tls", "-network", "tls", "-ack", environment=trust)


# --- JSON as PHP's library sends it


def test_php_json(case):
    """Texts without anything between them, cut anywhere; no options, no answer."""
    gateway = gateway_with(case)
    texts = [json.dumps(["php.log", 1_795_386_200 + n, {"number": n, "text": 'a "b" ]}'}]) for n in range(COUNT)]
    data = "".join(texts).encode()
    with Connection(gateway.forward) as connection:
        for at in range(0, len(data), 97):
            connection.send(data[at : at + 97])
        connection.socket.shutdown(socket.SHUT_WR)
        equal("nothing is answered", connection.closed_by_peer(), b"")
    logs, window = gateway.log_service(), {"since": 1_795_386_000, "until": 1_795_387_000}
    wait_until("the records", lambda: len(logs.search(**window)) >= COUNT)
    equal("numbers", sorted(int(r["number"]) for r in logs.search(**window)), list(range(COUNT)))


# --- Unix sockets


def test_python_unix(case):
    gateway, path = unix_gateway(case)
    client = sender.FluentSender("py", host=f"unix://{path}", nanosecond_precision=True)
    for number in range(COUNT):
        if not client.emit("unix", {"number": number}):
            raise AssertionError(f"emit: {client.last_error}")
    client.close()
    numbered(gateway, "py.unix", COUNT)
    client = asyncsender.FluentSender("py", host=f"unix://{path}", queue_maxsize=COUNT)
    for number in range(COUNT):
        client.emit("unix.async", {"number": number})
    client.close()
    numbered(gateway, "py.unix.async", COUNT)


def test_node_unix(case):
    gateway, path = unix_gateway(case)
    send(case, "fluent-logger.js", 0, "PackedForward", "ack", COUNT, {"path": path})
    numbered(gateway, "js.events", COUNT)


def test_fluent_org_unix(case):
    gateway, path = unix_gateway(case)
    send(case, "fluent-org-logger.js", 0, "PackedForward", "ack", COUNT, {"socket": {"path": path}})
    numbered(gateway, "js.events", COUNT)


# --- heartbeats


def test_udp_heartbeats(case):
    """Fluentd's one byte and Fluency's empty datagram are answered with one byte, from the port they were sent to."""
    gateway = gateway_with(case)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as beat:
        beat.settimeout(10)
        for datagram in (b"\0", b"", b"\0"):
            beat.sendto(datagram, ("127.0.0.1", gateway.forward))
            equal(f"the answer to {datagram!r}", beat.recvfrom(64), (b"\0", ("127.0.0.1", gateway.forward)))
        beat.sendto(b"x" * 1000, ("127.0.0.1", gateway.forward))  # no heartbeat: no answer, so the next one is to the next
        beat.sendto(b"\0", ("127.0.0.1", gateway.forward))
        equal("the answer after an odd datagram", beat.recvfrom(64)[0], b"\0")
    gateway.terminate()
    equal("its UDP port is free again", rebind(gateway.forward), True)


def rebind(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", port))
        return True


def test_no_udp_when_switched_off(case):
    gateway = gateway_with(case, udp_heartbeat=False)
    equal("nobody has the UDP port", rebind(gateway.forward), True)


def quiet(gateway):
    """The warnings and errors in the log."""
    return [line for line in gateway.log_text().splitlines() if " WARN" in line or "ERROR" in line]


def test_tcp_heartbeats(case):
    """Fluentd connects each second and closes without a byte: nobody hears of it. The nil of the protocol's text, too."""
    gateway = gateway_with(case)
    for _ in range(50):
        Connection(gateway.forward).close()
    with Connection(gateway.forward) as connection:
        connection.send(b"\xc0\xc0")
        connection.acknowledged("after.nil", {"number": 0})
    numbered(gateway, "after.nil", 1)
    equal("warnings", quiet(gateway), [])
    equal("closed for a fault", gateway.metric("sluicegate_input_closed_total"), 0)


def test_secured_heartbeats(case):
    """With TLS and keys a heartbeat is a handshake of both kinds, and then nothing; or it ends before the handshake does."""
    authority = Authority(case.directory)
    pair = authority.issue("gateway")
    gateway = gateway_with(
        case, tls={"certificate": pair.certificate, "key": pair.key},
        security={"self_hostname": "gateway-1", "shared_key": "a-shared-key"},
    )
    for step in ("connect", "tls", "helo", "all"):
        for _ in range(10):
            with Connection(gateway.forward, tls=None if step == "connect" else authority.client()) as connection:
                if step == "helo":
                    equal("greeting", connection.answer()[0], "HELO")
                elif step == "all":
                    equal("refusal", connection.greet(Client("a-shared-key")), None)
    with Connection(gateway.forward, tls=authority.client()) as connection:
        equal("refusal", connection.greet(Client("a-shared-key")), None)
        connection.acknowledged("after.beats", {"number": 0})
    numbered(gateway, "after.beats", 1)
    equal("warnings", quiet(gateway), [])
