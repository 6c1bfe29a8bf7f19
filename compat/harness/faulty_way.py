"""The way between a gateway's output and a Log Service, with faults by a script: an HTTP proxy that reads each request, asks
what is to become of it, and keeps an account of all.

A fault is a function `fault(request, way)` that gives bytes to answer with, or None to pass the request on. Those that need
the true answer call `way.forward(request)`. What happens to the one who wrote the request is counted here; what was stored
is the service's to say.
"""

import base64
import collections
import dataclasses
import hashlib
import hmac
import json
import socket
import threading
import time
from email.utils import formatdate, parsedate_to_datetime

import lz4.block
import zstandard
from aliyun.log.log_logs_pb2 import LogGroup

REQUEST_ID = "65536ABCDEF0123456789ABC"


@dataclasses.dataclass
class Request:
    line: str
    headers: dict  # lower-case names
    body: bytes

    @property
    def raw_size(self):
        return int(self.headers.get("x-log-bodyrawsize", 0))

    def group(self):
        raw = self.body
        match self.headers.get("x-log-compresstype"):
            case "lz4":
                raw = lz4.block.decompress(raw, uncompressed_size=self.raw_size)
            case "zstd":
                raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=self.raw_size)
        group = LogGroup()
        group.ParseFromString(raw)
        return group

    def bytes(self):
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"{self.line}\r\n{head}\r\n".encode() + self.body


def answer(status, code=None, message="", request_id=REQUEST_ID, kind="application/json", body=None, **headers):
    """Bytes of an HTTP answer; an error of Log Service when a code is given."""
    if body is None:
        body = json.dumps({"errorCode": code, "errorMessage": message}).encode() if code else b""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if request_id:
        lines.append(f"x-log-requestid: {request_id}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class FaultyWay:
    def __init__(self, target_port):
        self.target_port, self.fault = target_port, None
        self.requests = self.faults = 0
        self.packs = collections.Counter()  # pack_id -> how often it was sent
        self.unlike = []  # pack ids that came again with other bytes
        self.complaints, self._bodies, self._lock = [], {}, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        stream = client.makefile("rb")
        try:
            while request := read_request(stream):
                said = self._judge(request)
                if isinstance(said, Cut):
                    client.sendall(said.bytes)
                    break
                client.sendall(said)
        except OSError:  # the gateway went away
            pass
        except Exception as error:
            self.complaints.append(repr(error))
        finally:
            stream.close()
            client.close()

    def _judge(self, request):
        put = request.line.startswith("POST") and "/shards/" in request.line
        if put:
            group = request.group()
            pack = next((tag.Value for tag in group.LogTags if tag.Key == "__pack_id__"), "")
            with self._lock:
                self.requests += 1
                self.packs[pack] += 1
                if self._bodies.setdefault(pack, request.body) != request.body:
                    self.unlike.append(pack)
        fault = self.fault
        said = fault(request, self) if fault and put else None
        if isinstance(said, Passed):
            return said.bytes
        if said is not None:
            with self._lock:
                self.faults += 1
            return said
        return self.forward(request)

    def forward(self, request):
        """The service's own answer, whole."""
        with socket.create_connection(("127.0.0.1", self.target_port), 30) as server:
            server.sendall(Request(request.line, {**request.headers, "connection": "close"}, request.body).bytes())
            got = bytearray()
            while data := server.recv(65536):
                got += data
        return bytes(got).replace(b"connection: close\r\n", b"").replace(b"Connection: close\r\n", b"")

    def retried(self):
        return sum(times - 1 for times in self.packs.values())

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()


@dataclasses.dataclass
class Cut:
    """Says these bytes and hangs up."""

    bytes: bytes


@dataclasses.dataclass
class Passed:
    """The service's own answer, to a request that had to be changed: no fault."""

    bytes: bytes


def read_request(stream):
    line = stream.readline().decode().rstrip("\r\n")
    if not line:
        return None
    headers = {}
    while text := stream.readline().decode().rstrip("\r\n"):
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    return Request(line, headers, stream.read(int(headers.get("content-length", 0))))


def claimed_time(request):
    """Seconds of the clock by which a request was signed."""
    if "authorization" in request.headers and request.headers["authorization"].startswith("SLS4"):
        return time.mktime(time.strptime(request.headers["x-log-date"], "%Y%m%dT%H%M%SZ")) - time.timezone
    return parsedate_to_datetime(request.headers.get("x-log-date") or request.headers["date"]).timestamp()


def signed_anew(request, key_id, secret):
    """The same request signed now, with version 1: for a service whose clock is another than the one in the tale."""
    left_out = {"authorization", "x-log-date", "x-log-content-sha256", "date"}
    headers = {name: value for name, value in request.headers.items() if name not in left_out}
    headers |= {
        "date": formatdate(usegmt=True), "content-md5": hashlib.md5(request.body).hexdigest().upper(), "x-log-signaturemethod": "hmac-sha1",
    }
    method, target, _ = request.line.split(" ")
    signed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith(("x-log-", "x-acs-")))
    text = f"{method}\n{headers['content-md5']}\n{headers.get('content-type', '')}\n{headers['date']}\n{signed}{target}"
    digest = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()
    headers["authorization"] = f"LOG {key_id}:{digest}"
    return Request(request.line, headers, request.body)
