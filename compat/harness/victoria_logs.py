"""VictoriaLogs as a peer store, where `victoria-logs` is on PATH: the same records as JSON lines, the same questions."""

import http.client
import json
import shutil
import subprocess
import urllib.parse

from .gateway import free_port
from .wait import wait_until


def program():
    return shutil.which("victoria-logs")


class VictoriaLogs:
    def __init__(self, directory):
        self.directory, self.process, self.port = directory, None, free_port()
        directory.mkdir()
        self.log = open(directory / "victoria-logs.log", "ab")

    def start(self):
        self.process = subprocess.Popen(
            [program(), f"-storageDataPath={self.directory / 'data'}", f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=7d"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        wait_until("victoria-logs answers", self._answers, 60, 0.05)

    def _answers(self):
        try:
            return self.ask("GET", "/health") is not None
        except OSError:
            return False

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, body, {"Content-Type": "application/stream+json"} if body else {})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise AssertionError(f"victoria-logs answers {answer.status}: {text[:300]!r}")
            return text
        finally:
            connection.close()

    def insert(self, lines):
        self.ask("POST", "/insert/jsonline?_time_field=_time&_msg_field=msg&_stream_fields=source&extra_fields=source=10.0.0.9", lines)

    def query(self, query, since, until, limit=0):
        """Rows as dicts."""
        asked = {"query": query, "start": since, "end": until, **({"limit": limit} if limit else {})}
        text = self.ask("GET", "/select/logsql/query?" + urllib.parse.urlencode(asked))
        return [json.loads(line) for line in text.splitlines()]

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def close(self):
        self.stop()
        self.log.close()
