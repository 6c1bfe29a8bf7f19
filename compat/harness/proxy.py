"""A TCP proxy in front of the gateway that can cut its connections, so that a peer has to reconnect between two bytes, and
that can swallow the gateway's answers, so that a peer never learns that its data was stored."""

import contextlib
import socket
import struct
import threading


class Proxy:
    def __init__(self, target_port):
        self.target_port = target_port
        self.connections = 0
        self.swallow = False  # what the gateway says goes nowhere
        self.swallowed = 0  # bytes of it
        self._pairs, self._broken = [], set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._copy, args=(source, sink, answers), daemon=True).start()

    def _copy(self, source, sink, answers):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.swallow:
                    self.swallowed += len(data)
                else:
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            if sink not in self._broken:
                sink.shutdown(socket.SHUT_WR)

    def cut(self, reset=False):
        """Closes every connection on both sides; new ones are accepted. With `reset` both sides see a broken connection
        instead of its end, as when the machine between them goes away."""
        pairs, self._pairs = self._pairs, []
        ends = [end for pair in pairs for end in pair]
        if reset:
            self._broken.update(ends)  # all of them first: who copies passes no end on
        for end in ends:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            end.close()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
