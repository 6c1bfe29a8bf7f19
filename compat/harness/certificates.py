"""Certificates for one test, made by openssl: an authority of our own, what it signs, and a directory that holds a pair
the way Kubernetes mounts a secret."""

import os
import pathlib
import ssl
import subprocess

REQUEST = """[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = {name}
[extensions]
{extensions}
"""
AUTHORITY = "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\nsubjectKeyIdentifier = hash"
LEAF = """basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = {names}"""


class Pair:
    """A certificate and its key, as PEM files."""

    def __init__(self, certificate, key):
        self.certificate, self.key = str(certificate), str(key)

    def serial(self):
        """As Python's ssl module writes it, in hex."""
        done = subprocess.run(
            ["openssl", "x509", "-noout", "-serial", "-in", self.certificate], capture_output=True, text=True, check=True
        )
        return done.stdout.strip().partition("=")[2]


class Authority:
    def __init__(self, directory, name="compat authority"):
        self.directory, self._made = pathlib.Path(directory) / name.replace(" ", "-"), 0
        self.directory.mkdir(parents=True)
        self._own = self._make(name, AUTHORITY, [])
        self.file = self._own.certificate

    def issue(self, name, *alternative_names):
        """A certificate for server and client alike; without alternative names, one for loopback."""
        names = ",".join(alternative_names or ("DNS:localhost", "IP:127.0.0.1"))
        signer = ["-CA", self._own.certificate, "-CAkey", self._own.key]
        return self._make(name, LEAF.format(names=names), signer)

    def _make(self, name, extensions, signer):
        self._made += 1
        stem = self.directory / f"{self._made}-{name.replace(' ', '-')}"
        request, pair = stem.with_suffix(".cnf"), Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        request.write_text(REQUEST.format(name=name, extensions=extensions))
        subprocess.run(
            ["openssl", "req", "-x509", "-config", str(request), "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "30", "-out", pair.certificate, "-keyout", pair.key, *signer],
            check=True, capture_output=True, stdin=subprocess.DEVNULL,
        )
        return pair

    def client(self, pair=None, version=None):
        """An ssl context that trusts this authority alone, with a certificate of its own where one is given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


class MountedSecret:
    """Files behind a symbolic link that is swapped, as Kubernetes updates a mounted secret: all of them at once."""

    def __init__(self, directory):
        self.directory, self._versions = pathlib.Path(directory), 0
        self.directory.mkdir(parents=True)

    def put(self, **files):
        """Shows these files, name -> path or text, instead of the former ones."""
        self._versions += 1
        version = self.directory / f"..version-{self._versions}"
        version.mkdir()
        for name, content in files.items():
            name = name.replace("_", ".")
            text = pathlib.Path(content).read_text() if os.path.isabs(content) else content
            (version / name).write_text(text)
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        (self.directory / "..data.new").symlink_to(version.name)
        (self.directory / "..data.new").rename(self.directory / "..data")
        return self

    def path(self, name):
        return str(self.directory / name)
