"""Splunk's HTTP Event Collector as its clients speak it: PyPI's splunk-handler, curl, and bodies that never end."""

import gzip
import json
import logging
import socket
import subprocess
import time

from splunk_handler import SplunkHandler

from harness.certificates import Authority
from harness.gateway import free_port
from harness.wait import equal, wait_until

PEERS = ["debian"]

TOKEN = "11111111-2222-3333-4444-555555555555"
LINES = 2_000


def gateway_of(case, **keys):
    port = free_port()
    gateway = case.gateway({
        "inputs": {"forward": None, "splunk": {"type": "splunk", "listen": f"127.0.0.1:{port}", "tokens": [TOKEN], **keys}},
        "destinations": {"local": {"batch_age": "100ms"}},
    }, fixed_ports=True)
    gateway.hec = port
    return gateway


def curl(gateway, path, *options, data=None, token=TOKEN):
    """(status, answer)."""
    command = ["curl", "--silent", "--max-time", "20", "--noproxy", "*", "--write-out", "\n%{http_code}"]
    command += ["--header", f"Authorization: Splunk {token}"] if token else []
    command += ["--data-binary", "@-"] if data is not None else []
    done = subprocess.run([*command, *options, f"http://127.0.0.1:{gateway.hec}{path}"], input=data, capture_output=True, check=True)
    answer, _, status = done.stdout.decode().rpartition("\n")
    return int(status), answer


def handler_logs(case, gateway, **options):
    handler = SplunkHandler(
        host="127.0.0.1", port=gateway.hec, token=options.pop("token", TOKEN), index="main", source="shop", sourcetype="app",
        hostname="db-1", flush_interval=0.2, retry_count=10, retry_backoff=0.1, **{"protocol": "http", "verify": False, **options},
    )
    case.defer(handler.close)
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    return handler, logger


def lines_of(gateway, count):
    return [r["log"] for r in gateway.records(count)]


def test_splunk_handler(case):
    gateway = gateway_of(case)
    handler, logger = handler_logs(case, gateway)
    for number in range(LINES):
        logger.info("line %d", number)
    handler.force_flush()
    found = gateway.records(LINES)
    equal("lines", [r["log"] for r in found], [f"line {number}" for number in range(LINES)])
    equal("host", {r["host"] for r in found}, {"db-1"})
    equal("topic", {r["__topic__"] for r in found}, {"splunk.shop"})


def test_splunk_handler_over_tls(case):
    authority = Authority(case.directory)
    pair = authority.issue("gateway")
    gateway = gateway_of(case, tls={"certificate": pair.certificate, "key": pair.key})
    handler, logger = handler_logs(case, gateway, protocol="https", verify=authority.file)
    logger.info("over TLS")
    handler.force_flush()
    equal("the line", lines_of(gateway, 1), ["over TLS"])


def test_splunk_handler_over_a_restart(case):
    """It sends again what was not answered: nothing is lost; what was stored and not answered comes twice."""
    gateway = gateway_of(case)
    handler, logger = handler_logs(case, gateway)
    for number in range(LINES):
        logger.info("line %d", number)
        if number == LINES // 2:
            gateway.kill()
            gateway.start()
    handler.force_flush()
    logs = gateway.log_service()
    wait_until("all lines", lambda: {r["log"] for r in logs.search()} == {f"line {number}" for number in range(LINES)}, 30, 0.3)


def test_wrong_tokens(case):
    gateway = gateway_of(case)
    equal("a wrong token", curl(gateway, "/services/collector", data=b'{"event":"x"}', token="wrong"), (403, '{"text":"Invalid token","code":4}'))
    equal("no token", curl(gateway, "/services/collector", data=b'{"event":"x"}', token=None), (401, '{"text":"Token is required","code":2}'))
    equal("records", gateway.log_service().search(), [])


def test_curl_forms(case):
    """What Splunk's own documentation shows."""
    gateway = gateway_of(case)
    good, at = (200, '{"text":"Success","code":0}'), int(time.time()) - 1_800
    event = json.dumps({"event": "one", "time": at + 0.25, "host": "h", "source": "s", "sourcetype": "t", "fields": {"a": "b"}})
    equal("event", curl(gateway, "/services/collector/event", data=event.encode()), good)
    equal("batch", curl(gateway, "/services/collector", data=b'{"event":"two"}{"event":"three"}\n{"event":{"k":"v"}}'), good)
    equal("raw", curl(gateway, "/services/collector/raw?source=s", data=b"four\nfive\n"), good)
    packed = gzip.compress(b'{"event":"six"}')
    equal("gzip", curl(gateway, "/services/collector", "--header", "Content-Encoding: gzip", data=packed), good)
    equal("health", curl(gateway, "/services/collector/health", token=None), (200, '{"text":"HEC is healthy","code":17}'))
    equal("the driver's probe", curl(gateway, "/services/collector/event/1.0", "--request", "OPTIONS", token=None)[0], 200)
    equal("basic", curl(gateway, "/services/collector", "--user", f"x:{TOKEN}", data=b'{"event":"seven"}', token=None), good)
    now = [r["log"] for r in gateway.query("*", "--limit", "20") if "log" in r]
    equal("texts", set(now) >= {"two", "three", "four", "five", "six", "seven"}, True)
    (one,) = gateway.log_service().search('a: "b"', since=at - 1, until=at + 1)
    equal("the event with its own time", (one["log"], one["__time__"], one["host"]), ("one", at, "h"))


def test_curl_acknowledgement(case):
    gateway = gateway_of(case)
    channel = ["--header", "X-Splunk-Request-Channel: 0AECD4DC-0F9C-4B3B-8E2C-6E2F4D8F1B1A"]
    status, answer = curl(gateway, "/services/collector", *channel, data=b'{"event":"acknowledged"}')
    identity = json.loads(answer)["ackId"]
    question = json.dumps({"acks": [identity]}).encode()
    for _ in range(2):
        equal("the ack", curl(gateway, "/services/collector/ack", *channel, data=question), (200, f'{{"acks":{{"{identity}":true}}}}'))
    gateway.kill()
    gateway.start()
    equal("after a kill", curl(gateway, "/services/collector/ack", *channel, data=question), (200, f'{{"acks":{{"{identity}":true}}}}'))
    equal("status", status, 200)
    equal("it is stored", lines_of(gateway, 1), ["acknowledged"])


def test_bodies_that_never_end(case):
    """Too large, or without progress: answered, closed, and the others are served meanwhile."""
    gateway = gateway_of(case, max_body="1MiB", stall_timeout="1s")
    head = f"POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    stuck = [socket.create_connection(("127.0.0.1", gateway.hec), 20) for _ in range(50)]
    for each in stuck:
        case.defer(each.close)
        each.sendall(head + b"10\r\n" + b'{"event": "half ')
    endless = socket.create_connection(("127.0.0.1", gateway.hec), 20)
    case.defer(endless.close)
    endless.sendall(head)
    piece, sent = b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 0
    try:
        while sent < 256 * 1024 * 1024:
            endless.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    if sent > 64 * 1024 * 1024:
        raise AssertionError(f"{sent} bytes of a body were taken, max_body is 1 MiB")
    equal("another client", curl(gateway, "/services/collector", data=b'{"event":"good"}')[0], 200)
    for each in stuck:
        said = b""
        while data := each.recv(4096):
            said += data
        if not said.startswith(b"HTTP/1.1 408"):
            raise AssertionError(f"a stuck body was answered {said[:100]!r}")
    equal("only the good one", lines_of(gateway, 1), ["good"])
    bomb = gzip.compress(b'{"event":"' + b"0" * 64 * 1024 * 1024 + b'"}')
    packed = ["--header", "Content-Encoding: gzip"]
    equal("a bomb", curl(gateway, "/services/collector", *packed, data=bomb)[0], 413)
    if (memory := gateway.memory()) > 200 * 1024 * 1024:
        raise AssertionError(f"{memory} bytes of memory")


def test_answers_while_the_gateway_goes(case):
    """A client that sends on over a take-over is refused nothing."""
    gateway = gateway_of(case)
    numbers = iter(range(100_000))
    answered = []

    def send():
        number = next(numbers)
        status, answer = curl(gateway, "/services/collector", data=json.dumps({"event": f"line {number}"}).encode())
        if status == 200:
            answered.append(f"line {number}")
        else:
            raise AssertionError(f"line {number} was answered {status} {answer}")

    for _ in range(20):
        send()
    equal("the former gateway's exit", gateway.take_over(), 0)
    for _ in range(20):
        send()
    equal("lines", lines_of(gateway, 40), answered)
