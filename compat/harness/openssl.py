"""`openssl s_client` as a client of the forward protocol: TLS as somebody else wrote it, with versions of one's choice."""

import os
import select
import subprocess
import time


class Outcome:
    def __init__(self, code, said, words):
        self.code, self.said, self.words = code, said, words  # exit code; bytes of the gateway; openssl's own remarks


def s_client(port, data, *options, until=None, timeout=20):
    """Connects, sends `data`, and closes once the gateway has said `until`, or when the gateway closes."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-no_ign_eof", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    try:
        process.stdin.write(data)
        process.stdin.flush()
        said, deadline = b"", time.monotonic() + timeout
        while until is None or until not in said:
            readable, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                raise AssertionError(f"openssl s_client {' '.join(options)} said {said!r} and nothing more within {timeout} s")
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                break
            said += piece
        rest, words = process.communicate(timeout=timeout)
        return Outcome(process.returncode, said + rest, words.decode(errors="replace"))
    except BrokenPipeError:
        rest, words = process.communicate(timeout=timeout)
        return Outcome(process.returncode, rest, words.decode(errors="replace"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(5)
