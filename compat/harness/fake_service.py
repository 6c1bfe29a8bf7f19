"""A Log Service that does as it is told: answers 200, answers an error, answers late, or is not there.

It keeps every LogGroup it accepted, read with the SDK's own protobuf classes, and complains about requests that the real
service would refuse for their form (headers, MD5, sizes); signatures are the embedded service's to check.
"""

import contextlib
import hashlib
import http.server
import json
import socket
import threading

import lz4.block
import zstandard
from aliyun.log.log_logs_pb2 import LogGroup

from .gateway import free_port

PROJECT = "compat-project"


class FakeService:
    def __init__(self):
        self.port = free_port()
        self.status = 200  # what a PutLogs is answered
        self.groups = []  # accepted: (logstore, LogGroup), in the order of arrival
        self.attempts = 0  # PutLogs seen, whatever the answer
        self.most_at_once = 0  # requests that were being answered at the same time
        self.hold = threading.Event()  # cleared: answers wait
        self.hold.set()
        self.complaints = []
        self._lock, self._busy = threading.Lock(), 0
        self._server, self._sockets = None, set()

    def destination(self, **keys):
        """A destination's configuration that leads here."""
        return {
            "endpoint": "http://cn-compat.log.test", "connect": f"127.0.0.1:{self.port}", "project": PROJECT,
            "logstore": "app-log", "access_key_id": "compatId", "access_key_secret": "compatSecret", **keys,
        }

    def up(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                service._sockets.add(self.request)
                super().setup()

            def do_POST(self):
                service._put_logs(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 64

            def handle_error(self, *_):  # a client that was killed in mid-request
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def down(self):
        """Connections are cut and new ones refused."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
        for open_socket in list(self._sockets):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    close = down

    def _put_logs(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        with self._lock:
            self.attempts += 1
            self._busy += 1
            self.most_at_once = max(self.most_at_once, self._busy)
        try:
            self.hold.wait(60)
            status = self.status
            if status == 200:
                parsed = self._parse(request, body)
                with self._lock:
                    self.groups.append(parsed)
            answer = b"" if status == 200 else json.dumps({"errorCode": "InternalServerError", "errorMessage": "as told"}).encode()
            request.send_response(status)
            request.send_header("x-log-requestid", "65536ABCDEF0123456789ABC")
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)
        except ConnectionError:
            raise  # a gateway that was killed takes no answer
        except Exception as error:
            self.complaints.append(f"{request.path}: {error!r}")
            raise
        finally:
            with self._lock:
                self._busy -= 1

    def _parse(self, request, body):
        headers = request.headers
        raw_size = int(headers["x-log-bodyrawsize"])
        kind = headers.get("x-log-compresstype")
        raw = {
            "lz4": lambda: lz4.block.decompress(body, uncompressed_size=raw_size),
            "zstd": lambda: zstandard.ZstdDecompressor().decompress(body, max_output_size=raw_size),
            None: lambda: body,
        }[kind]()
        for wrong, complaint in (
            (len(raw) != raw_size, f"{len(raw)} bytes, x-log-bodyrawsize {raw_size}"),
            (headers.get("Content-MD5") != hashlib.md5(body).hexdigest().upper(), "Content-MD5"),
            (headers.get("Content-Type") != "application/x-protobuf", f"Content-Type {headers.get('Content-Type')}"),
            (headers.get("x-log-apiversion") != "0.6.0", "x-log-apiversion"),
            (not headers.get("Authorization", "").startswith("LOG compatId:"), "Authorization"),
            (headers.get("Host", "").partition(".")[0] != PROJECT, f"Host {headers.get('Host')}"),
        ):
            if wrong:
                self.complaints.append(f"{request.path}: {complaint}")
        group = LogGroup()
        group.ParseFromString(raw)
        return request.path.split("/")[2], group

    # --- what arrived

    def records(self):
        """Every accepted record as a dict, in the order of arrival; duplicates are still in it."""
        with self._lock:
            groups = list(self.groups)
        return [{content.Key: content.Value for content in log.Contents} for _, group in groups for log in group.Logs]

    def once(self):
        """Every record with its topic, each LogGroup once: a group that is sent again after a crash has the pack_id it had."""
        with self._lock:
            groups = list(self.groups)
        packs = {next(tag.Value for tag in group.LogTags if tag.Key == "__pack_id__"): group for _, group in groups}
        return [
            {"__topic__": group.Topic, **{content.Key: content.Value for content in log.Contents}}
            for group in packs.values() for log in group.Logs
        ]

    def series(self):
        """pack_id prefix -> records in the order of the series: by sequence, each sequence once."""
        found = {}
        with self._lock:
            groups = list(self.groups)
        for _, group in groups:
            prefix, _, sequence = next(tag.Value for tag in group.LogTags if tag.Key == "__pack_id__").rpartition("-")
            logs = [{content.Key: content.Value for content in log.Contents} for log in group.Logs]
            earlier = found.setdefault(prefix, {}).setdefault(int(sequence, 16), logs)
            if earlier != logs:
                self.complaints.append(f"pack_id {prefix}-{sequence} came twice with different records")
        return {prefix: [log for _, logs in sorted(packs.items()) for log in logs] for prefix, packs in found.items()}
