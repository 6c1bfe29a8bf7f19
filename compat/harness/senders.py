"""Senders of numbered records that never rest: what they could not hand over they send again, as Docker's drivers do, and
what was said to them is counted. They tell what a restart of the gateway costs its peers."""

import collections
import dataclasses
import pathlib
import socket
import threading
import time

from .forward import message
from .wait import wait_until


@dataclasses.dataclass
class Row:
    """One sender's line of a table."""

    sent: int
    arrived: int
    lost: int
    doubled: int
    disordered: int
    connections: int
    refused: int

    COLUMNS = ("sent", "arrived", "lost", "duplicated", "out of order", "connections", "refused")


def forward_message(name, number):
    return message("switch", {"sender": name, "number": str(number), "log": f"line {number} of {name}"})


def syslog_line(name, number):
    return f"<30>1 2026-01-02T03:04:05.000001Z host {name} 7 {number} - line {number} of {name}\n".encode()


class Sender(threading.Thread):
    """Sends `make(name, number)` to an address: a port of 127.0.0.1 or a path; as a stream, or as datagrams.

    `brief`: a new connection for every record. Who writes to Unix datagram sockets waits where the queue is full, as
    blocking sockets do.
    """

    def __init__(self, name, at, make, datagrams=False, brief=False, pause=0.0005):
        super().__init__(daemon=True, name=name)
        self.at, self.make, self.brief, self.pause = at, make, brief, pause
        self.kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        self.number = self.connections = self.refused = 0
        self._enough = threading.Event()

    def _connect(self):
        while not self._enough.is_set():
            connected = socket.socket(socket.AF_INET if isinstance(self.at, int) else socket.AF_UNIX, self.kind)
            connected.settimeout(60)
            try:
                connected.connect(("127.0.0.1", self.at) if isinstance(self.at, int) else str(self.at))
                self.connections += 1
                return connected
            except OSError:
                self.refused += 1
                connected.close()
                time.sleep(0.002)
        return None

    def run(self):
        connected = None
        while not self._enough.is_set():
            connected = connected or self._connect()
            if connected is None:
                return
            data = self.make(self.name, self.number)
            try:
                connected.sendall(data)
            except OSError:
                self.refused += self.kind == socket.SOCK_DGRAM
                connected.close()
                connected = None
                continue
            self.number += 1
            if self.brief:
                connected.close()
                connected = None
            if self.pause:
                time.sleep(self.pause)
        if connected:
            connected.close()

    def finish(self):
        self._enough.set()
        self.join(70)


def records_by_sender(service):
    """sender -> its numbers, series by series."""
    found = collections.defaultdict(list)
    for records in service.series().values():
        series = collections.defaultdict(list)
        for record in records:
            sender, number = record.get("sender") or record["appname"], record.get("number") or record["msgid"]
            series[sender].append(int(number))
        for sender, numbers in series.items():
            found[sender].append(numbers)
    return found


def settled(service, wanted, patience=3):
    """Waits until so many records came, or no more come for `patience` seconds."""
    last, since = -1, time.monotonic()

    def is_settled():
        nonlocal last, since
        count = sum(len(group.Logs) for _, group in list(service.groups))
        if count != last:
            last, since = count, time.monotonic()
        return count >= wanted or time.monotonic() - since > patience

    wait_until("no more records come", is_settled, 120, 0.1)


def rows(service, senders):
    """name -> Row; all has come."""
    by_sender, found = records_by_sender(service), {}
    for sender in senders:
        series = by_sender[sender.name]
        came = collections.Counter(number for numbers in series for number in numbers)
        disordered = sum(b < a for numbers in series for a, b in zip(numbers, numbers[1:]))
        lost = sum(number not in came for number in range(sender.number))
        found[sender.name] = Row(
            sender.number, came.total(), lost, came.total() - len(came), disordered, sender.connections, sender.refused
        )
    return found


def table(title, found):
    head = ("sender", *Row.COLUMNS)
    body = [(name, *map(str, dataclasses.astuple(row))) for name, row in found.items()]
    widths = [max(len(line[at]) for line in [head, *body]) for at in range(len(head))]
    shown = (
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
        for line in [head, *body]
    )
    return [title, *shown]


def socket_path(directory, name):
    return pathlib.Path(directory) / f"{name}.sock"
