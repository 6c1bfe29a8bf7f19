"""The client's side of the shared-key handshake, apart from any socket, so that a test may also do it wrongly.

    server: ["HELO", {"nonce", "auth", "keepalive"}]
    client: ["PING", host name, salt, digest of the key, user name, digest of the password]
    server: ["PONG", whether it is good, the reason if it is not, host name, digest]
"""

import hashlib
import os

import msgpack

SALT_BYTES = 16


def digest(*parts):
    return hashlib.sha512(b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)).hexdigest()


class Client:
    def __init__(self, key, hostname="compat-client", username="", password=""):
        self.key, self.hostname, self.username, self.password = key, hostname, username, password
        self.salt, self.nonce = os.urandom(SALT_BYTES).hex(), b""

    def ping(self, helo):
        """The answer to a decoded HELO."""
        kind, options = helo[0], helo[1]
        if kind != "HELO":
            raise AssertionError(f"the first message is {helo!r} and no HELO")
        self.nonce, auth = options["nonce"], options.get("auth") or b""
        proof = digest(self.salt, self.hostname, self.nonce, self.key)
        password = digest(auth, self.username, self.password) if auth else ""
        return msgpack.packb(["PING", self.hostname, self.salt, proof, self.username, password])

    def verdict(self, pong):
        """None when the server let us in and knows the key itself; else its reason."""
        kind, good, reason, hostname, proof = pong
        if kind != "PONG":
            raise AssertionError(f"{pong!r} is no PONG")
        if not good:
            return reason
        if proof != digest(self.salt, hostname, self.nonce, self.key):
            raise AssertionError("the server's own digest is wrong")
        return None
