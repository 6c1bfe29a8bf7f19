"""Docker's log drivers as rows of a table: how each is set to a gateway, what it tells, and what it guarantees.

A row is all that a new driver needs. Where it leads to is a `Place`: a gateway's inputs on ports and sockets that stay the
same over its restarts, known to the rows by name (`{forward}`, `{syslog_unix}`, ...).
"""

import dataclasses
import pathlib

from .certificates import Authority
from .gateway import free_port

# What may come between a container and its reader.
STEADY = "steady"  # nothing
TAKE_OVER = "take-over"  # a successor gets the gateway's sockets
GRACEFUL = "restart"  # SIGTERM, then a new one
KILL = "kill -9"
ENGINE = "engine"  # the Engine itself is killed; containers go on (live-restore)
DISTURBANCES = (STEADY, TAKE_OVER, GRACEFUL, KILL, ENGINE)

TAG = "{{.Name}}/{{.ID}}"
ALWAYS = frozenset({"log", "source", "container_id", "container_name"})


@dataclasses.dataclass(frozen=True)
class Driver:
    name: str
    log_driver: str
    options: dict  # of --log-opt; {names} are the Place's
    input: str  # which of the Place's inputs it needs
    lossless: tuple = (STEADY,)  # disturbances that may lose nothing
    # ... that may double nothing. After a kill a LogGroup that was on its way is sent again.
    once: tuple = (STEADY, TAKE_OVER, GRACEFUL)
    try_all: bool = False  # one of those that are put through every disturbance also in a short run
    fields: frozenset = ALWAYS
    full_id: bool = True  # container_id has 64 digits, else 12
    streams: int = 2  # 1: the container writes to stdout alone
    marks_bytes: bool = False  # the driver itself puts U+FFFD in the place of bytes that are no UTF-8, on both sides of a cut
    drops_empty: bool = False  # empty lines are not sent

    def log_options(self, place):
        def filled(value):
            for name, address in place.addresses.items():
                value = value.replace("{" + name + "}", str(address))
            return value

        return {key: filled(value) for key, value in self.options.items()}


class Place:
    """Inputs of one gateway for the row's driver. To add an input, name it here."""

    def __init__(self, case, driver, name, directory, authority, engine, join_timeout):
        sockets = pathlib.Path(directory)
        port = self.addresses = {
            **{name: free_port() for name in ("forward", "syslog", "syslog_tls", "gelf", "splunk")},
            **{name: sockets / f"{name}.sock" for name in ("forward_unix", "syslog_unix", "syslog_unixgram")},
            "ca": authority.file,
            "engine": engine.root / "data",
        }
        tls = {"certificate": authority.gateway.certificate, "key": authority.gateway.key}
        inputs = {
            "forward": {"type": "forward", "listen": [f"127.0.0.1:{port['forward']}", f"unix:{port['forward_unix']}"]},
            "syslog": {
                "type": "syslog",
                "listen": [f"127.0.0.1:{port['syslog']}", f"unix:{port['syslog_unix']}", f"unixgram:{port['syslog_unixgram']}"],
            },
            "syslog_tls": {"type": "syslog", "listen": f"tcp:127.0.0.1:{port['syslog_tls']}", "tls": tls},
            "gelf": {"type": "gelf", "listen": f"127.0.0.1:{port['gelf']}"},
            "splunk": {"type": "splunk", "listen": f"127.0.0.1:{port['splunk']}"},
        }
        chosen = {"forward": None, driver.input.replace("_", "-"): {**inputs[driver.input], "join_timeout": join_timeout}}
        self.config = {"inputs": chosen, "destinations": {"local": {"batch_age": "100ms"}}}
        self.gateway = case.gateway(self.config, fixed_ports=True, name=name)


def certificates(directory):
    """An authority with the gateway's certificate."""
    authority = Authority(directory)
    authority.gateway = authority.issue("gateway")
    return authority


def _fluentd(name, address, lossless, **more):
    options = {"fluentd-address": address, "fluentd-sub-second-precision": "true", "tag": "docker.{{.Name}}", **more.pop("options", {})}
    return Driver(f"fluentd {name}", "fluentd", options, "forward", lossless, **more)


def _syslog(name, address, form, lossless=(STEADY,), **more):
    options = {"syslog-address": address, "tag": TAG, **({"syslog-format": form} if form else {}), **more.pop("options", {})}
    row = f"syslog {name} {form or 'default'}"
    more = {"full_id": False, "drops_empty": True, **more}
    return Driver(row, "syslog", options, "syslog_tls" if name == "tls" else "syslog", lossless, **more)


def _gelf(name, address, lossless=(STEADY,), **more):
    options = {"gelf-address": address, **more.pop("options", {})}
    fields = ALWAYS | {"image_name"}
    return Driver(f"gelf {name}", "gelf", options, "gelf", lossless, fields=fields, marks_bytes=True, drops_empty=True, **more)


def _splunk(name, options, fields=ALWAYS, **more):
    common = {"splunk-url": "http://127.0.0.1:{splunk}", "splunk-token": "any", "tag": TAG}
    every = (STEADY, TAKE_OVER, GRACEFUL, KILL)
    more = {"once": (STEADY,), "full_id": False, "marks_bytes": True, **more}
    return Driver(f"splunk {name}", "splunk", {**common, **options}, "splunk", every, fields=fields, **more)


OVER_RESTARTS = (STEADY, TAKE_OVER, GRACEFUL)
OVER_ALL = (STEADY, TAKE_OVER, GRACEFUL, KILL)
ACK = {"fluentd-request-ack": "true"}
ASYNC = {"fluentd-async": "true"}
TLS = {"syslog-tls-ca-cert": "{ca}"}
IMAGE_TAG = {"tag": "{{.ImageName}}/{{.Name}}/{{.ID}}"}
FORMATS = (None, "rfc3164", "rfc5424", "rfc5424micro")

DRIVERS = [
    _fluentd("tcp", "127.0.0.1:{forward}", (STEADY, TAKE_OVER), try_all=True),
    _fluentd("tcp ack", "127.0.0.1:{forward}", OVER_ALL, streams=1, try_all=True, options=ACK),
    _fluentd("tcp async ack", "127.0.0.1:{forward}", OVER_ALL, options={**ACK, **ASYNC}),
    _fluentd("unix", "unix://{forward_unix}", OVER_RESTARTS, try_all=True),
    _fluentd("unix async", "unix://{forward_unix}", OVER_RESTARTS, options=ASYNC),
    _fluentd("unix ack", "unix://{forward_unix}", OVER_ALL, streams=1, try_all=True, options=ACK),
    *(_syslog("udp", "udp://127.0.0.1:{syslog}", form, (STEADY, TAKE_OVER), try_all=not form) for form in FORMATS),
    *(_syslog("tcp", "tcp://127.0.0.1:{syslog}", form, (STEADY, TAKE_OVER), try_all=not form) for form in FORMATS),
    *(_syslog("tls", "tcp+tls://127.0.0.1:{syslog_tls}", form, options=TLS, try_all=form == "rfc5424micro") for form in FORMATS),
    *(_syslog("unix", "unix://{syslog_unix}", form, (STEADY, TAKE_OVER), try_all=form == "rfc5424") for form in FORMATS),
    *(_syslog("unixgram", "unixgram://{syslog_unixgram}", form, (STEADY, TAKE_OVER), try_all=form == "rfc3164") for form in FORMATS),
    _syslog("unix image", "unix://{syslog_unix}", "rfc5424micro", (STEADY, TAKE_OVER), options=IMAGE_TAG, fields=ALWAYS | {"image_name"}),
    *(
        _gelf(f"udp {kind}", "udp://127.0.0.1:{gelf}", (STEADY, TAKE_OVER), options={"gelf-compression-type": kind}, try_all=kind == "none")
        for kind in ("gzip", "zlib", "none")
    ),
    _gelf("tcp", "tcp://127.0.0.1:{gelf}", (STEADY, TAKE_OVER), try_all=True),
    _splunk("inline", {}, try_all=True),
    _splunk("json", {"splunk-format": "json"}),
    # names no stream, so that lines of one break into pieces of the other's
    _splunk("raw", {"splunk-format": "raw"}, fields=ALWAYS - {"source"}, drops_empty=True, streams=1),
    _splunk("gzip", {"splunk-gzip": "true"}),
    _splunk("ack", {"splunk-index-acknowledgment": "true"}, try_all=True),
]


def driver(name):
    return next(row for row in DRIVERS if row.name == name)
