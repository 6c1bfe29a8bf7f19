"""A name server that knows one name, for a container without network: run inside the container's own one.

    nsenter --net=/proc/PID/ns/net python -m harness.name_server NAME ADDRESS

Prints a line when it listens. Asked for an address of version 4 it gives it; every other type of that name has no answer,
every other name does not exist (RFC 1035).
"""

import socket
import struct
import sys


def answer(request, name, address):
    labels, at = [], 12
    while size := request[at]:
        labels.append(request[at + 1 : at + 1 + size].decode())
        at += 1 + size
    question = request[12 : at + 5]
    known, wanted = ".".join(labels).lower() == name, question[-4:] == struct.pack("!2H", 1, 1)
    flags = 0x8580 | (0 if known else 3)
    found = struct.pack("!3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address) if known and wanted else b""
    return request[:2] + struct.pack("!5H", flags, 1, 1 if found else 0, 0, 0) + question + found


def main():
    name, address = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        print("listens", flush=True)
        while True:
            request, peer = server.recvfrom(512)
            server.sendto(answer(request, name, address), peer)


if __name__ == "__main__":
    main()
