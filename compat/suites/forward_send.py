"""`sluicegate send`, the forward client of the house: every transport, key, mode and compression, and a gateway that dies
under it. What it says when it fails is what a person has to go by.
"""

import collections
import contextlib
import json
import subprocess
import threading

from harness.certificates import Authority
from harness.fake_service import FakeService
from harness.secured import KEY, PASSWORD, SECURITY, gateway_with, no_secrets_in_the_log, stored, tls_of
from harness.wait import equal, wait_until

PEERS = ["debian"]
COUNT = 200


class Send:
    """The command with what all calls of a test share."""

    def __init__(self, case, gateway, *shared):
        self.case, self.gateway, self.shared = case, gateway, list(shared)

    def secret(self, name, text):
        path = self.case.directory / name
        path.write_text(text + "\n")
        return str(path)

    def __call__(self, *arguments, **options):
        to = [] if "--to" in arguments else ["--to", f"127.0.0.1:{self.gateway.forward}"]
        return self.gateway.command("send", *to, *self.shared, *arguments, **options)

    def refused(self, *arguments, reason):
        """It must fail, and say why."""
        done = self(*arguments, "--retries", "0", '{"log":"x"}', check=False)
        if done.returncode == 0:
            raise AssertionError(f"send {' '.join(arguments)} was let in")
        if reason.lower() not in done.stderr.lower():
            raise AssertionError(f"send {' '.join(arguments)} says {done.stderr.strip()!r}, want {reason!r}")


def test_send_over_tls(case):
    authority = Authority(case.directory)
    gateway = gateway_with(case, tls=tls_of(authority))
    send = Send(case, gateway)
    send("--tag", "ca", "--tls", "--ca", authority.file, '{"log":"x"}')
    send("--tag", "name", "--tls", "--ca", authority.file, "--server-name", "localhost", '{"log":"x"}')
    send("--tag", "insecure", "--tls", "--insecure", '{"log":"x"}')
    for tag in ("ca", "name", "insecure"):
        stored(gateway, 1, tag)
    send.refused("--tag", "x", "--tls", "--ca", authority.file, "--server-name", "elsewhere.example", reason="certificate")
    send.refused("--tag", "x", reason="TLS")  # the server speaks TLS
    equal("all that was stored", len(gateway.log_service().search()), 3)


def test_send_to_a_plain_server_with_tls(case):
    gateway = gateway_with(case)
    Send(case, gateway).refused("--tag", "x", "--tls", "--insecure", reason="TLS")


def test_send_with_a_certificate(case):
    authority = Authority(case.directory)
    gateway = gateway_with(case, tls=tls_of(authority, client_ca=authority.file), client_name_key="client")
    pair = authority.issue("sender", "DNS:sender.example")
    send = Send(case, gateway, "--tls", "--ca", authority.file)
    send("--tag", "mutual", "--cert", pair.certificate, "--key", pair.key, '{"log":"x"}')
    equal("its name", stored(gateway, 1, "mutual")[0].get("client"), "sender.example")
    send.refused("--tag", "x", reason="certificate")


def test_send_with_keys(case):
    gateway = gateway_with(case, security=SECURITY)
    send = Send(case, gateway)
    key, wrong = send.secret("key", KEY), send.secret("wrong-key", "not-the-key")
    password, not_hers = send.secret("password", PASSWORD), send.secret("not-hers", "not-her-password")
    send("--tag", "files", "--shared-key-file", key, "--user", "alice", "--password-file", password, '{"log":"x"}')
    gateway.environment["SLUICEGATE_SHARED_KEY"] = KEY
    send("--tag", "environment", "--user", "alice", "--password-file", password, '{"log":"x"}')
    del gateway.environment["SLUICEGATE_SHARED_KEY"]
    for tag in ("files", "environment"):
        stored(gateway, 1, tag)
    send.refused(
        "--tag", "x", "--shared-key-file", wrong, "--user", "alice", "--password-file", password, reason="shared_key mismatch"
    )
    for user, word in (("alice", not_hers), ("nobody", password)):
        send.refused(
            "--tag", "x", "--shared-key-file", key, "--user", user, "--password-file", word, reason="username/password mismatch"
        )
    send.refused("--tag", "x", reason="key")  # the server wants a key
    equal("all that was stored", len(gateway.log_service().search()), 2)
    no_secrets_in_the_log(gateway, "not-the-key", "not-her-password")


def test_send_in_every_form(case):
    path = case.short_directory() / "forward.sock"
    gateway = gateway_with(case, listen=["127.0.0.1:0", f"unix:{path}"])
    send = Send(case, gateway)
    lines = "".join(json.dumps({"number": n, "log": f"line {n} 日志"}) + "\n" for n in range(COUNT))
    for mode in ("packed", "forward", "message"):
        for compression in ("none", "gzip", "zstd") if mode == "packed" else ("none",):
            for to in (f"127.0.0.1:{gateway.forward}", f"unix:{path}"):
                tag = f"{mode}.{compression}.{to[:4]}".replace("127.", "tcp")
                send("--to", to, "--tag", tag, "--mode", mode, "--compress", compression, "--json-lines", text_in=lines)
                found = stored(gateway, COUNT, tag)
                equal("numbers", sorted(int(r["number"]) for r in found), list(range(COUNT)))
    send("--tag", "text.lines", text_in="one\ntwo\n")
    equal("lines of text", [r["log"] for r in stored(gateway, 2, "text.lines")], ["one", "two"])


def test_send_goes_on_after_a_kill(case):
    """A gateway that dies under it: the same chunks again on a new connection, and every line is stored once."""
    service = FakeService().up()
    case.defer(service.close)
    gateway = case.gateway({"destinations": {"cloud": service.destination(batch_age="100ms")}}, fixed_ports=True)
    process = subprocess.Popen(
        [gateway.binary, "send", "--to", f"127.0.0.1:{gateway.forward}", "--tag", "killed", "--json-lines", "--retries", "20"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=gateway.environment,
    )
    case.defer(process.kill)
    lines, padding = 30_000, "x" * 400

    def write():
        with contextlib.suppress(OSError):
            for number in range(lines):
                process.stdin.write(json.dumps({"number": number, "log": padding}) + "\n")
            process.stdin.close()

    def acks():
        return gateway.metric("sluicegate_acks_total")

    threading.Thread(target=write, daemon=True).start()
    for _ in range(2):
        before = acks()
        wait_until("acks", lambda: process.poll() is not None or acks() > before, every=0.005)
        gateway.kill()
        gateway.start()
    code = wait_until("send has ended", lambda: process.poll() is not None and f"ended with {process.returncode}", 60)
    equal("send", (code, process.stderr.read()[-300:] if process.returncode else ""), ("ended with 0", ""))
    wait_until("every line", lambda: len(service.records()) >= lines and len(service.once()) >= lines, 60, 0.2)
    numbers = collections.Counter(int(r["number"]) for r in service.once())
    equal("lines lost", [n for n in range(lines) if n not in numbers], [])
    equal("lines stored twice", [n for n, times in numbers.items() if times > 1], [])
