"""A host name and a network of the test's own, to be changed under a gateway without anybody else noticing.

They are the calling thread's and of what it starts; with the test's end the thread is back in the machine's.
"""

import ctypes
import os
import socket
import subprocess

NEW_UTS, NEW_NET = 0x04000000, 0x40000000


class OwnMachine:
    def __init__(self, case, name, address):
        libc = ctypes.CDLL(None, use_errno=True)

        def call(function, *arguments):
            if function(*arguments) != 0:
                raise OSError(ctypes.get_errno(), f"{function.__name__}{arguments}")

        for kind, flag in (("net", NEW_NET), ("uts", NEW_UTS)):
            former = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY)
            case.defer(lambda former=former, flag=flag: (call(libc.setns, former, flag), os.close(former)))
        call(libc.unshare, NEW_NET | NEW_UTS)
        ip("link", "set", "lo", "up")
        # No kernel is without bridges where Docker runs.
        ip("link", "add", "outer", "type", "bridge")
        ip("link", "set", "outer", "up")
        self.address = None
        self.move(address)
        self.rename(name)

    def move(self, address):
        """Another address instead of the one it has."""
        ip("addr", "add", f"{address}/32", "dev", "outer")
        if self.address:
            ip("addr", "del", f"{self.address}/32", "dev", "outer")
        self.address = address

    def rename(self, name):
        socket.sethostname(name)


def ip(*words):
    subprocess.run(["busybox", "ip", *words], check=True, stdin=subprocess.DEVNULL)
