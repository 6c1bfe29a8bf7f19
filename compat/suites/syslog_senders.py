"""Debian's rsyslog, syslog-ng and logger(1) as senders: each transport, framing and format they have."""

import json
import subprocess

from harness.certificates import Authority
from harness.gateway import free_port
from harness.syslog_daemon import rsyslog, syslog_ng
from harness.wait import equal, wait_until

PEERS = ["debian", "syslog"]

LINES = 2_000
LONG = "x" * 20_000
SPECIAL = ["caf\u00e9 \U0001f600", "[looks like=\"structured\"] data", "<13>a priority inside", "100 a count inside", LONG]
TEXTS = SPECIAL + [f"line {number}" for number in range(LINES)]


class Place:
    """A gateway with every kind of socket for syslog."""

    def __init__(self, case, **keys):
        self.authority, sockets = Authority(case.directory), case.short_directory()
        pair = self.authority.issue("gateway")
        self.port, self.tls, self.unix, self.unixgram = free_port(), free_port(), sockets / "s.sock", sockets / "d.sock"
        plain = [f"127.0.0.1:{self.port}", f"unix:{self.unix}", f"unixgram:{self.unixgram}"]
        self.gateway = case.gateway({
            "inputs": {
                "forward": None,
                "syslog": {"type": "syslog", "listen": plain, **keys},
                "syslog-tls": {
                    "type": "syslog", "listen": f"tcp:127.0.0.1:{self.tls}",
                    "tls": {"certificate": pair.certificate, "key": pair.key},
                },
            },
            "destinations": {"local": {"batch_age": "100ms"}},
        }, fixed_ports=True)

    def records(self, count, query="*"):
        return self.gateway.records(count, query)


def forwarded(place, texts, **fields):
    """The texts came, each once and in their order, with these fields."""
    found = place.records(len(texts), 'appname: "shop"')
    equal("the texts", [record["message"] for record in found], texts)
    for record in found:
        equal("fields", {key: record.get(key) for key in fields}, fields)


SAID = {"facility": "local0", "severity": "info", "procid": "77"}


def through_rsyslog(case, target, template, texts=TEXTS, **more):
    place = Place(case)
    rsyslog(case, target.format(place=place, template=template), ca=place.authority.file).write(texts)
    # what it read as "tag: text" has a blank before the text, and its RFC 5424 template leaves it there
    blank = " " if template == RFC5424 else ""
    forwarded(place, [blank + text for text in texts], **{**SAID, "hostname": "db-1", **more})


def omfwd(to, protocol, *more):
    queue = 'template="{template}" action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList"'
    return f'action(type="omfwd" target="127.0.0.1" port="{{place.{to}}}" protocol="{protocol}" {" ".join(more)} {queue})'


UDP, TCP, COUNTED = omfwd("port", "udp"), omfwd("port", "tcp"), omfwd("port", "tcp", 'TCP_Framing="octet-counted"')
TLS = omfwd(
    "tls", "tcp", 'TCP_Framing="octet-counted" StreamDriver="gtls" StreamDriverMode="1"',
    'StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost"',
)
UNIX_DATAGRAMS = "$ModLoad omuxsock\n$OMUxSockSocket {place.unixgram}\n*.* :omuxsock:;{template}"
RFC5424, FORWARD, TRADITIONAL = "RSYSLOG_SyslogProtocol23Format", "RSYSLOG_ForwardFormat", "RSYSLOG_TraditionalForwardFormat"


def test_rsyslog_udp_rfc5424(case):
    through_rsyslog(case, UDP, RFC5424)


def test_rsyslog_udp_forward_format(case):
    through_rsyslog(case, UDP, FORWARD)


def test_rsyslog_udp_traditional_format(case):
    through_rsyslog(case, UDP, TRADITIONAL)


def test_rsyslog_tcp_lines(case):
    through_rsyslog(case, TCP, FORWARD)


def test_rsyslog_tcp_lines_rfc5424(case):
    through_rsyslog(case, TCP, RFC5424)


def test_rsyslog_tcp_counted(case):
    """Only with counts can a message have line feeds in it."""
    through_rsyslog(case, COUNTED, RFC5424, [*TEXTS, "two\nlines", "after"])


def test_rsyslog_tls_counted(case):
    through_rsyslog(case, TLS, RFC5424, [*TEXTS, "two\nlines", "after"])


def test_rsyslog_unix_datagrams(case):
    through_rsyslog(case, UNIX_DATAGRAMS, TRADITIONAL)


def test_rsyslog_over_a_take_over(case):
    """It notices the closed connection by the next write; what it wrote before that into a dead connection is lost, and
    nothing else: its queue keeps the order."""
    place = Place(case)
    daemon = rsyslog(case, COUNTED.format(place=place, template=RFC5424))
    daemon.write(f"before {number}" for number in range(500))
    place.records(500)
    equal("the former gateway's exit", place.gateway.take_over(), 0)
    daemon.write(f"after {number}" for number in range(500))
    logs = place.gateway.log_service()
    wait_until("the last line", lambda: logs.search('message: "after 499"'), 30, 0.2)
    numbers = [int(r["message"].split()[1]) for r in place.gateway.query("after", "--limit", "1000")]
    equal("once and in order", numbers, sorted(set(numbers)))
    print(f"        rsyslog over TCP lost {500 - len(numbers)} of 500 lines at a take-over")


# --- syslog-ng


def through_syslog_ng(case, destination, texts=TEXTS, **fields):
    place = Place(case)
    syslog_ng(case, destination.format(place=place, ca=place.authority.file)).write(texts)
    forwarded(place, texts, **{**SAID, **fields})


IETF = 'syslog("127.0.0.1" port({place.port}) transport("%s"))'
BSD = 'network("127.0.0.1" port({place.port}) transport("%s"))'


def test_syslog_ng_ietf_tcp(case):
    through_syslog_ng(case, IETF % "tcp")


def test_syslog_ng_ietf_udp(case):
    through_syslog_ng(case, IETF % "udp")


def test_syslog_ng_ietf_tls(case):
    tls = 'tls(ca-file("{ca}") peer-verify(required-trusted))'
    through_syslog_ng(case, f'syslog("127.0.0.1" port({{place.tls}}) transport("tls") {tls})')


def test_syslog_ng_bsd_tcp(case):
    through_syslog_ng(case, BSD % "tcp")


def test_syslog_ng_bsd_udp(case):
    through_syslog_ng(case, BSD % "udp")


def test_syslog_ng_unix_stream(case):
    through_syslog_ng(case, 'unix-stream("{place.unix}")')


def test_syslog_ng_unix_datagrams(case):
    through_syslog_ng(case, 'unix-dgram("{place.unixgram}")')


# --- logger(1)


def logger(*options, text=None, lines=None):
    arguments = ["logger", *options, *(["--", text] if text is not None else [])]
    subprocess.run(arguments, input=None if lines is None else "".join(f"{line}\n" for line in lines), text=True, check=True, timeout=30)


def test_logger_transports(case):
    place = Place(case)
    to = ["-n", "127.0.0.1", "-P", str(place.port)]
    ways = {
        "udp": [*to, "-d"], "tcp": [*to, "-T"], "counted": [*to, "-T", "--octet-count"], "default": to,
        "unixgram": ["-u", str(place.unixgram)], "unix": ["-u", str(place.unix)],
    }
    for name, way in ways.items():
        for form in ("--rfc5424", "--rfc3164"):
            tag = f"{name}{form[2:]}"
            logger(*way, form, "-t", tag, "-p", "local3.warning", "--id=4711", text=f"by {tag}")
    found = {record["appname"]: record for record in place.records(2 * len(ways))}
    for name in ways:
        for form in ("rfc5424", "rfc3164"):
            record = found[name + form]
            want = {"message": f"by {name}{form}", "facility": "local3", "severity": "warning", "procid": "4711"}
            equal(f"{name} {form}", {key: record.get(key) for key in want}, want)


def test_logger_many_lines(case):
    """A long line is cut by logger itself at its limit (-S)."""
    place = Place(case)
    to = ["-n", "127.0.0.1", "-P", str(place.port), "-t", "shop", "-S", "32k"]
    for way in (["-T", "--octet-count"], ["-T"], ["-u", str(place.unix)]):
        target = way if way[0] == "-u" else [*to[:4], *way]
        logger(*target, *to[4:], lines=TEXTS)
        forwarded_again(place, way)


def forwarded_again(place, way):
    seen = getattr(place, "seen", 0)
    found = place.records(seen + len(TEXTS), 'appname: "shop"')[seen:]
    equal(f"texts by {way}", [record["message"] for record in found], TEXTS)
    place.seen = seen + len(TEXTS)


def test_logger_structured_data(case):
    place = Place(case)
    logger(
        "-n", "127.0.0.1", "-P", str(place.port), "-T", "--rfc5424", "-t", "shop", "--msgid", "ORDER",
        "--sd-id", "order@32473", "--sd-param", 'number="17"', "--sd-param", 'note="a \\"b\\" \\]"', text="ordered",
    )
    (record,) = place.records(1)
    want = {"message": "ordered", "msgid": "ORDER", "order@32473.number": "17", "order@32473.note": 'a "b" ]', "appname": "shop"}
    equal("the structured data", {key: record.get(key) for key in want}, want)


def test_logger_short_forms(case):
    """Parts that logger can leave out."""
    place = Place(case)
    for left_out in ("notime", "notq", "nohost", "notime,notq,nohost"):
        logger("-n", "127.0.0.1", "-P", str(place.port), "-T", f"--rfc5424={left_out}", "-t", "shop", text=left_out)
    found = place.records(4)
    equal("texts", [record["message"] for record in found], ["notime", "notq", "nohost", "notime,notq,nohost"])
    equal("host names", ["hostname" in record for record in found], [True, True, False, False])


def test_logger_to_journal_format_on_a_socket(case):
    """A line that is JSON is expanded by a route, whoever sent it."""
    place = Place(case)
    place.gateway.close()
    place.gateway.config["routes"] = [{"match": "syslog.**", "processors": [{"parse": "json", "key": "message"}]}]
    place.gateway.start()
    logger("-u", str(place.unixgram), "-t", "shop", text=json.dumps({"level": "warn", "order": 17}))
    (record,) = place.records(1)
    equal("its members", {key: record.get(key) for key in ("level", "order")}, {"level": "warn", "order": "17"})
