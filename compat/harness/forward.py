"""The client's side of the forward protocol, plain enough to see every byte: messages, a socket, and a sender that keeps
account of what was acknowledged."""

import base64
import os
import select
import socket
import struct
import threading
import time
from collections import OrderedDict

import msgpack


def event_time(seconds=None):
    """EventTime, extension type 0: seconds and nanoseconds, 32 bits each."""
    nanoseconds = time.time_ns() if seconds is None else int(seconds * 1_000_000_000)
    return msgpack.ExtType(0, struct.pack(">II", *divmod(nanoseconds, 1_000_000_000)))


def new_chunk():
    return base64.b64encode(os.urandom(16)).decode()


def message(tag, record, at=None, chunk=None):
    """Message mode, as Docker sends it: always four elements."""
    return msgpack.packb([tag, int(time.time()) if at is None else at, record, {"chunk": chunk} if chunk else {}])


def forward(tag, records, chunk=None):
    """Forward mode, one EventTime for all."""
    at = event_time()
    return msgpack.packb([tag, [[at, record] for record in records], *([{"chunk": chunk}] if chunk else [])])


def ack_of(chunk):
    """The only answer a client accepts: a map of one, both strings."""
    return msgpack.packb({"ack": chunk})


class Connection:
    """A socket that sends bytes and reads acks.

    `at` is a port of 127.0.0.1, or the path of a Unix socket; `tls` an ssl context; `source` another loopback address to
    come from; `receive_buffer` makes the kernel hold few bytes for a client that does not read.
    """

    def __init__(self, at, timeout=10, tls=None, source=None, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET if isinstance(at, int) else socket.AF_UNIX)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        try:
            self.socket.connect(("127.0.0.1", at) if isinstance(at, int) else str(at))
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except Exception:
            self.socket.close()
            raise
        self._answers = msgpack.Unpacker(raw=False)

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        """Exactly so many bytes of answer."""
        got = b""
        while len(got) < count:
            piece = self.socket.recv(count - len(got))
            if not piece:
                raise AssertionError(f"closed after {len(got)} of {count} bytes of answer: {got!r}")
            got += piece
        return got

    def answer(self):
        """The next message of the gateway; None when it closed instead."""
        while True:
            for answer in self._answers:
                return answer
            data = self.socket.recv(65536)
            if not data:
                return None
            self._answers.feed(data)

    def ack(self):
        """The next ack's chunk id; None when the gateway closed instead."""
        answer = self.answer()
        return answer["ack"] if answer is not None else None

    def acknowledged(self, tag, record):
        """Sends one record and waits for its ack."""
        chunk = new_chunk()
        self.send(message(tag, record, chunk=chunk))
        got = self.ack()
        if got != chunk:
            raise AssertionError(f"the ack of {record} is {got!r} and not {chunk!r}")

    def greet(self, client):
        """Goes through the handshake as this handshake.Client; returns the reason of a refusal, None when we are in."""
        self.send(client.ping(self.answer()))
        pong = self.answer()
        if pong is None:
            raise AssertionError("closed instead of a PONG")
        return client.verdict(pong)

    def closed_by_peer(self):
        """Waits for the peer's close; whatever it says before is returned."""
        said = b""
        try:
            while data := self.socket.recv(4096):
                said += data
        except ConnectionResetError:
            pass
        return said

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AckedSender(threading.Thread):
    """Sends numbered records with acks until told to stop, and after every loss of the connection sends again what was
    not acknowledged, under the same chunk id: what Fluentd, Fluent Bit and Docker do.

    `acked` are the numbers whose ack was read; they are what a gateway may never lose. `records_per_chunk` are in one
    message (1: Message mode, more: Forward mode), at most `window` messages are unacknowledged, `pause` is between two.
    """

    def __init__(self, port, name, tag, records_per_chunk=1, window=16, pause=0.0, padding=120):
        super().__init__(daemon=True, name=name)
        self.port, self.tag, self.pause = port, tag, pause
        self.records_per_chunk, self.window, self.padding = records_per_chunk, window, "x" * padding
        self.acked, self.next_number, self.connections, self.last_ack = set(), 0, 0, time.monotonic()
        self._waiting = OrderedDict()  # chunk -> (numbers, bytes), in the order of sending
        self._enough, self._give_up = threading.Event(), threading.Event()

    def finish(self, timeout=60):
        """Makes no new messages, waits until all are acknowledged."""
        self._enough.set()
        self.join(timeout)
        if self.is_alive():
            waiting = len(self._waiting)
            self.abandon()
            raise AssertionError(f"sender {self.name}: {waiting} messages were not acknowledged within {timeout} s")

    def abandon(self):
        """Stops at once."""
        self._give_up.set()
        self.join(10)

    def blocked_for(self):
        """Seconds since the last ack, while something waits for one."""
        return time.monotonic() - self.last_ack if self._waiting else 0.0

    def run(self):
        while not self._done():
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    self.connections += 1
                    self._talk(connection)
            except OSError:
                time.sleep(0.02)

    def _done(self):
        return self._give_up.is_set() or (self._enough.is_set() and not self._waiting)

    def _talk(self, connection):
        connection.setblocking(False)
        acks = msgpack.Unpacker(raw=False)
        out = bytearray().join(data for _, data in self._waiting.values())  # again, in order
        while not self._done():
            if not self._enough.is_set() and len(self._waiting) < self.window and len(out) < 256 * 1024:
                out += self._make()
                if self.pause:
                    time.sleep(self.pause)
            idle = len(self._waiting) >= self.window or self._enough.is_set()
            readable, writable, _ = select.select([connection], [connection] if out else [], [], 0.05 if idle or out else 0)
            if writable:
                del out[: connection.send(out[: 64 * 1024])]
            if readable:
                data = connection.recv(65536)
                if not data:
                    return
                acks.feed(data)
                for answer in acks:
                    numbers, _ = self._waiting.pop(answer["ack"], ((), b""))  # a resent chunk may be acknowledged twice
                    self.acked.update(numbers)
                    self.last_ack = time.monotonic()

    def _make(self):
        chunk = new_chunk()
        numbers = range(self.next_number, self.next_number + self.records_per_chunk)
        self.next_number = numbers.stop
        records = [{"sender": self.name, "number": n, "log": f"line {n} of {self.name} {self.padding}"} for n in numbers]
        data = message(self.tag, records[0], chunk=chunk) if len(records) == 1 else forward(self.tag, records, chunk)
        self._waiting[chunk] = (numbers, data)
        return data
