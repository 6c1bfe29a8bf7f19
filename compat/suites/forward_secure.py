"""TLS, client certificates and shared keys: openssl, `sluicegate send`, the Node clients, and a client that lies.

What must hold beside "it works": a refusal has a reason that the peer reads and a line that the operator reads; no key,
password or digest is ever in the log; keys and certificates change while connections go on.
"""

import asyncio
import collections
import contextlib
import json
import pathlib
import re
import ssl
import subprocess
import threading

import msgpack

from harness import node
from harness.certificates import Authority, MountedSecret
from harness.fake_service import FakeService
from harness.forward import Connection, ack_of, message, new_chunk
from harness.handshake import Client
from harness.openssl import s_client
from harness.wait import equal, wait_until

PEERS = ["debian", "npm"]
TIME_LIMIT = 180

COUNT = 200
MIB = 1024 * 1024
FAST = {"destinations": {"local": {"batch_age": "100ms"}}}
KEY, PASSWORD = "the-common-key", "wonder-land"
SECURITY = {
    "self_hostname": "gateway-1", "shared_key": KEY, "user_auth": True, "users": [{"username": "alice", "password": PASSWORD}],
}


def gateway_with(case, **forward):
    return case.gateway({**FAST, "inputs": {"forward": forward}})


def tls_of(authority, **more):
    pair = authority.issue("gateway")
    return {"certificate": pair.certificate, "key": pair.key, **more}


def stored(gateway, count, tag):
    """The records of a tag, once there are `count`; more are an error."""
    logs, query = gateway.log_service(), f'__topic__: "{tag}"'
    wait_until(f"{count} records of {tag}", lambda: logs.holds(count, query), 30, 0.1)
    found = logs.search(query)
    equal(f"records of {tag}", len(found), count)
    return found


def logged(gateway, *words):
    """Waits for one line of the log that holds all the words, in whatever case."""

    def line():
        return next((text for text in gateway.log_text().splitlines() if all(w.lower() in text.lower() for w in words)), None)

    return wait_until(f"a log line with {words}", line)


def no_secrets_in_the_log(gateway, *more):
    text = gateway.log_text()
    for secret in (KEY, PASSWORD, *more):
        equal(f"{secret} in the log", secret in text, False)
    equal("digests in the log", re.findall(r"[0-9a-f]{64,}", text), [])


# --- TLS: openssl


def event(tag, record=None):
    chunk = new_chunk()
    return message(tag, record or {"log": "over TLS"}, chunk=chunk), ack_of(chunk)


def test_plain_client_on_a_tls_port(case):
    """It gets nothing, the operator a line that says what to do; the next client with TLS is served."""
    authority = Authority(case.directory)
    gateway = gateway_with(case, tls=tls_of(authority))
    with Connection(gateway.forward) as plain:
        plain.send(event("plain")[0])
        equal("an answer to a plain client", plain.closed_by_peer(), b"")
    logged(gateway, "WARN", "plain", "TLS")
    with Connection(gateway.forward, tls=authority.client()) as connection:
        connection.acknowledged("tls", {"log": "good"})
    stored(gateway, 1, "tls")
    equal("records of the plain client", gateway.log_service().search('__topic__: "plain"'), [])


def test_tls_client_on_a_plain_port(case):
    gateway = gateway_with(case)
    outcome = s_client(gateway.forward, b"")
    if outcome.code == 0:
        raise AssertionError("openssl believes that this was TLS")
    logged(gateway, "WARN", "TLS")


def test_tls_versions(case):
    """1.2 and 1.3 by default; 1.1 is refused by an alert; with min_version 1.3, 1.2 is, too."""
    authority = Authority(case.directory)
    tls = tls_of(authority)
    for name, min_version, good in (("both", "1.2", ("-tls1_2", "-tls1_3")), ("newest", "1.3", ("-tls1_3",))):
        gateway = case.gateway({**FAST, "inputs": {"forward": {"tls": {**tls, "min_version": min_version}}}}, name=name)
        for version in ("-tls1_1", "-tls1_2", "-tls1_3"):
            data, ack = event(name)
            options = [version, "-CAfile", authority.file, "-verify_return_error", "-verify_hostname", "localhost"]
            options += ["-cipher", "ALL:@SECLEVEL=0"] if version == "-tls1_1" else []
            outcome = s_client(gateway.forward, data, *options, until=ack)
            equal(f"{version} is served with min_version {min_version}", ack in outcome.said, version in good)
            if version not in good and "alert" not in outcome.words:
                raise AssertionError(f"openssl was not told that {version} is the reason: {outcome.words[-300:]}")
        stored(gateway, len(good), name)
        logged(gateway, "WARN", "handshake")


def test_client_that_knows_another_authority(case):
    authority, other = Authority(case.directory), Authority(case.directory, "another authority")
    gateway = gateway_with(case, tls=tls_of(authority))
    outcome = s_client(gateway.forward, event("x")[0], "-CAfile", other.file, "-verify_return_error")
    equal("openssl goes on", outcome.code == 0, False)
    done = gateway.command("send", "--to", f"127.0.0.1:{gateway.forward}", "--tag", "x", "--tls", "--ca", other.file, "--retries", "0",
                           '{"log":"x"}', check=False)
    equal("send goes on", done.returncode == 0, False)
    if "certificate" not in done.stderr:
        raise AssertionError(f"send does not say that the certificate is the reason: {done.stderr}")
    equal("stored", gateway.log_service().search(), [])
    logged(gateway, "WARN", "TLS")


def test_client_certificates(case):
    """No certificate, one of a stranger, one with a name that is not listed: refused by an alert. A good one gives its name."""
    authority, stranger = Authority(case.directory), Authority(case.directory, "a stranger")
    tls = tls_of(authority, client_ca=authority.file, client_names=["edge-1.example", "*.shop.example"])
    gateway = gateway_with(case, tls=tls, client_name_key="client", add_tag_prefix="by.${client}")
    trust = ["-CAfile", authority.file, "-verify_return_error"]
    for version in ("-tls1_2", "-tls1_3"):
        for pair in (
            None, stranger.issue("edge-1", "DNS:edge-1.example"), authority.issue("edge-2", "DNS:edge-2.example"),
            authority.issue("deep", "DNS:a.b.shop.example"),
        ):
            certificate = ["-cert", pair.certificate, "-key", pair.key] if pair else []
            outcome = s_client(gateway.forward, event("bad")[0], version, *trust, *certificate)
            equal(f"an answer to {pair and pair.certificate}", outcome.said, b"")
            if "alert" not in outcome.words:
                raise AssertionError(f"openssl got no alert: {outcome.words[-300:]}")
        for name in ("edge-1.example", "till.shop.example"):
            pair, (data, ack) = authority.issue(name, f"DNS:{name}"), event("app")
            outcome = s_client(gateway.forward, data, version, *trust, "-cert", pair.certificate, "-key", pair.key, until=ack)
            equal(f"the answer to {name}", outcome.said, ack)
    for name in ("edge-1.example", "till.shop.example"):
        equal("the name as a field", {r["client"] for r in stored(gateway, 2, f"by.{name}.app")}, {name})
    equal("all that was stored", len(gateway.log_service().search()), 4)
    logged(gateway, "WARN", "certificate")


def test_optional_client_certificates(case):
    """client_auth optional: without one in, with a stranger's out."""
    authority, stranger = Authority(case.directory), Authority(case.directory, "a stranger")
    gateway = gateway_with(case, tls=tls_of(authority, client_ca=authority.file, client_auth="optional"), client_name_key="client")
    for name, pair in (("none", None), ("own", authority.issue("edge-1", "DNS:edge-1.example"))):
        with Connection(gateway.forward, tls=authority.client(pair)) as connection:
            connection.acknowledged(name, {"log": name})
    with contextlib.suppress(OSError):  # the alert may arrive as a broken connection
        with Connection(gateway.forward, tls=authority.client(stranger.issue("edge-1", "DNS:edge-1.example"))) as connection:
            connection.send(event("stranger")[0])
            equal("an answer to a stranger", connection.closed_by_peer(), b"")
    equal("a name where there is one", stored(gateway, 1, "own")[0].get("client"), "edge-1.example")
    equal("no name where there is none", stored(gateway, 1, "none")[0].get("client"), None)
    equal("all that was stored", len(gateway.log_service().search()), 2)


def test_tls_and_plain_on_one_port(case):
    """allow_plain: the first byte decides; with keys, a plain peer that waits for the greeting gets it, too."""
    authority = Authority(case.directory)
    for name, security in (("open", None), ("secured", SECURITY)):
        forward = {"tls": tls_of(authority, allow_plain=True), **({"security": security} if security else {})}
        gateway = case.gateway({**FAST, "inputs": {"forward": forward}}, name=name)
        for tls in (None, authority.client()):
            with Connection(gateway.forward, tls=tls) as connection:
                if security:
                    equal("refusal", connection.greet(Client(KEY, username="alice", password=PASSWORD)), None)
                connection.acknowledged(name, {"log": "in"})
        stored(gateway, 2, name)


# --- `sluicegate send`


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
    send.refused("--tag", "x", "--shared-key-file", wrong, "--user", "alice", "--password-file", password, reason="shared_key mismatch")
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

    threading.Thread(target=write, daemon=True).start()
    for _ in range(2):
        before = gateway.metric("sluicegate_acks_total")
        wait_until("acks", lambda: process.poll() is not None or gateway.metric("sluicegate_acks_total") > before, every=0.005)
        gateway.kill()
        gateway.start()
    code = wait_until("send has ended", lambda: process.poll() is not None and f"ended with {process.returncode}", 60)
    equal("send", (code, process.stderr.read()[-300:] if process.returncode else ""), ("ended with 0", ""))
    wait_until("every line", lambda: len(service.records()) >= lines and len(service.once()) >= lines, 60, 0.2)
    numbers = collections.Counter(int(r["number"]) for r in service.once())
    equal("lines lost", [n for n in range(lines) if n not in numbers], [])
    equal("lines stored twice", [n for n, times in numbers.items() if times > 1], [])


# --- the Node clients


NODE_SECURITY = {"security": {"clientHostname": "node-1", "sharedKey": KEY, "username": "alice", "password": PASSWORD}}


def test_fluent_logger_with_keys(case):
    gateway = gateway_with(case, security=SECURITY)
    node.send(case, "fluent-logger.js", gateway.forward, "PackedForward", "ack", COUNT, NODE_SECURITY)
    stored(gateway, COUNT, "js.events")


def test_fluent_logger_with_tls_and_keys(case):
    authority = Authority(case.directory)
    gateway = gateway_with(case, security=SECURITY, tls=tls_of(authority))
    options = {**NODE_SECURITY, "tls": True, "tlsOptions": {"ca": pathlib.Path(authority.file).read_text(), "servername": "localhost"}}
    node.send(case, "fluent-logger.js", gateway.forward, "CompressedPackedForward", "ack", COUNT, options)
    stored(gateway, COUNT, "js.events")


def test_fluent_logger_with_a_wrong_key(case):
    gateway = gateway_with(case, security=SECURITY)
    wrong = {"security": {**NODE_SECURITY["security"], "sharedKey": "not-the-key"}}
    done = node.run(case, "fluent-logger.js", gateway.forward, "PackedForward", "ack", 1, wrong)
    equal("it goes on", done.returncode == 0, False)
    if "shared_key mismatch" not in done.stderr:
        raise AssertionError(f"the client does not know why: {done.stderr[-300:]}")
    logged(gateway, "WARN", "127.0.0.1", "node-1", "shared_key mismatch")
    no_secrets_in_the_log(gateway, "not-the-key")


def test_fluent_org_with_keys(case):
    gateway = gateway_with(case, security=SECURITY)
    node.send(case, "fluent-org-logger.js", gateway.forward, "PackedForward", "ack", COUNT, NODE_SECURITY)
    stored(gateway, COUNT, "js.events")


def test_fluent_org_with_tls_and_keys(case):
    authority = Authority(case.directory)
    gateway = gateway_with(case, security=SECURITY, tls=tls_of(authority))
    tls = {"ca": pathlib.Path(authority.file).read_text(), "servername": "localhost"}
    options = {**NODE_SECURITY, "socket": {"tls": tls}}
    node.send(case, "fluent-org-logger.js", gateway.forward, "CompressedPackedForward", "ack", COUNT, options)
    stored(gateway, COUNT, "js.events")


# --- keys: who is let in, and what the others hear


ALICE = {"username": "alice", "password": PASSWORD}


def refusal(gateway, client, source=None):
    """What the gateway says; a refused one must see the end of the connection, too."""
    with Connection(gateway.forward, source=source, timeout=30) as connection:
        reason = connection.greet(client)
        if reason is None:
            connection.acknowledged("let.in", {"host": client.hostname})
        else:
            equal("nothing after the refusal", connection.closed_by_peer(), b"")
        return reason


def test_reasons(case):
    """Fluentd's rules and Fluentd's words: common key, keys and users by network, anonymous sources."""
    clients = [
        {"network": "127.2.0.0/16", "shared_key": "key-of-two"},
        {"network": "127.3.0.0/16", "users": ["alice"]},
        {"network": "127.0.0.0/15"},
    ]
    users = [*SECURITY["users"], {"username": "bob", "password": "builders-hut"}]
    security = {**SECURITY, "users": users, "clients": clients, "allow_anonymous_source": False}
    gateway = gateway_with(case, security=security)
    bob = {"username": "bob", "password": "builders-hut"}
    mismatch, nobody = "shared_key mismatch", "username/password mismatch"
    for host, (network, key, user, want) in enumerate(
        (
            ("127.1.0", KEY, ALICE, None),
            ("127.1.0", KEY, bob, None),
            ("127.1.0", "other", ALICE, mismatch),
            ("127.1.0", "", ALICE, mismatch),
            ("127.1.0", KEY, {"username": "alice", "password": "wrong"}, nobody),
            ("127.1.0", KEY, {"username": "alice", "password": "builders-hut"}, nobody),
            ("127.1.0", KEY, {"username": "carol", "password": PASSWORD}, nobody),
            ("127.1.0", KEY, {}, nobody),
            ("127.2.0", "key-of-two", ALICE, None),
            ("127.2.0", KEY, ALICE, mismatch),
            ("127.1.0", "key-of-two", ALICE, mismatch),
            ("127.3.0", KEY, ALICE, None),
            ("127.3.0", KEY, bob, nobody),
            ("127.4.0", KEY, ALICE, "anonymous source host '127.4.0.14' denied"),
        ),
        start=1,
    ):
        source = f"{network}.{host}"  # another one each time: an address is told its second refusal later than its first
        equal(f"the word to {source} with {key!r} and {user}", refusal(gateway, Client(key, **user), source), want)
    stored(gateway, 4, "let.in")
    logged(gateway, "WARN", "127.1.0", "compat-client", mismatch)
    logged(gateway, "WARN", "127.4.0.14", "denied")
    no_secrets_in_the_log(gateway, "key-of-two", "builders-hut")


def test_what_is_no_ping(case):
    gateway = gateway_with(case, security=SECURITY)
    packed = msgpack.packb
    for host, (what, data) in enumerate((
        ("an event", message("rude", {"log": "x"}, chunk=new_chunk())),
        ("too few", packed(["PING", "host", "salt", "0" * 128])),
        ("a PONG", packed(["PONG", True, "", "host", "0" * 128])),
        ("odd types", packed(["PING", 1, None, {}, [], 2.5])),
        ("an oversize host name", packed(["PING", "h" * 3000, "salt", "0" * 128, "", ""])),
        ("a large one", packed(["PING", "h" * 100_000, "salt", "0" * 128, "", ""])),
        ("depth", b"\x91" * 4000),
        ("4 GiB declared", b"\xdd\xff\xff\xff\xff"),
        ("JSON", b'["PING", "host", "salt", "digest", "", ""]'),
    )):
        with Connection(gateway.forward, timeout=30, source=f"127.0.1.{1 + host}") as connection:
            equal("greeting", connection.answer()[0], "HELO")
            with contextlib.suppress(OSError):
                connection.send(data)
            with contextlib.suppress(OSError):
                answer = connection.answer()
                if answer is not None:
                    equal(f"the answer to {what}", answer, ["PONG", False, "invalid ping message", "", ""])
                    connection.closed_by_peer()
    equal("a good client is served", refusal(gateway, Client(KEY, **ALICE)), None)
    equal("nothing else was stored", len(stored(gateway, 1, "let.in")), len(gateway.log_service().search()))


def test_replay(case):
    """A PING that was good once is good for nothing: the nonce is fresh. Nothing is read before a good one."""
    gateway = gateway_with(case, security=SECURITY)
    client, nonces = Client(KEY, **ALICE), set()
    with Connection(gateway.forward) as connection:
        helo = connection.answer()
        ping = client.ping(helo)
        nonces |= {helo[1]["nonce"], helo[1]["auth"]}
        connection.send(ping)
        equal("the first time", client.verdict(connection.answer()), None)
        # said again inside the session, it is an odd message of that session, no greeting
    for _ in range(3):
        with Connection(gateway.forward, timeout=30) as connection:
            helo = connection.answer()
            nonces |= {helo[1]["nonce"], helo[1]["auth"]}
            connection.send(ping + message("replayed", {"log": "x"}, chunk=new_chunk()))
            equal("the second time", connection.answer(), ["PONG", False, "shared_key mismatch", "", ""])
            equal("after it", connection.closed_by_peer(), b"")
    equal("16 bytes, all different", (len(nonces), {len(n) for n in nonces}), (8, {16}))
    equal("stored", gateway.log_service().search(), [])


async def failed_handshake(port, number, turn):
    """A whole handshake with a wrong key, from an address of its own; returns the reason."""
    async with turn:
        source = f"127.{1 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        try:
            answers, client = msgpack.Unpacker(raw=False), Client("not-the-key", username="alice", password="wrong")
            heard = []
            while len(heard) < 2:
                data = await reader.read(4096)
                if not data:
                    break
                answers.feed(data)
                for answer in answers:
                    heard.append(answer)
                    if len(heard) == 1:
                        writer.write(client.ping(answer))
            return client.verdict(heard[1])
        finally:
            writer.close()


def failed_handshakes(port, numbers):
    async def all_of_them():
        turn = asyncio.Semaphore(200)
        return await asyncio.gather(*(failed_handshake(port, number, turn) for number in numbers))

    reasons = asyncio.run(all_of_them())
    equal("reasons", set(reasons), {"shared_key mismatch"})


def test_ten_thousand_failed_handshakes(case):
    """They cost no memory that stays, few lines of log, and no good client its connection."""
    gateway = gateway_with(case, security=SECURITY)
    with Connection(gateway.forward) as good:
        equal("refusal", good.greet(Client(KEY, **ALICE)), None)
        end, acked, trouble = threading.Event(), [0], []

        def go_on():
            try:
                while not end.is_set():
                    good.acknowledged("undisturbed", {"number": acked[0]})
                    acked[0] += 1
                    end.wait(0.01)
            except Exception as error:
                trouble.append(error)

        sending = threading.Thread(target=go_on, daemon=True)
        sending.start()
        failed_handshakes(gateway.forward, range(2_000))
        before, acked_before = gateway.memory(), acked[0]
        failed_handshakes(gateway.forward, range(2_000, 10_000))
        grown = gateway.memory() - before
        equal("a new good client", refusal(gateway, Client(KEY, **ALICE), "127.0.0.9"), None)
        end.set()
        sending.join(10)
    equal("trouble of the good client", trouble, [])
    if acked[0] <= acked_before:
        raise AssertionError("the good client did not get on meanwhile")
    if grown > 16 * MIB:
        raise AssertionError(f"8,000 failed handshakes left {grown / MIB:.1f} MiB behind")
    equal("counted", gateway.metric("sluicegate_handshake_failures_total"), 10_000)
    lines = len(gateway.log_text().splitlines())
    if lines > 300:
        raise AssertionError(f"{lines} lines of log for 10,000 failures")
    print(f"        10,000 failures: {grown / MIB:.1f} MiB more after the first 2,000, {acked[0]} acks for the good client meanwhile")
    stored(gateway, acked[0], "undisturbed")
    no_secrets_in_the_log(gateway, "not-the-key")


# --- changes while it runs


class Talker:
    """A connection that stays open over the changes of a test and says something now and then."""

    def __init__(self, case, gateway, tag, client=None, tls=None):
        self.connection, self.tag, self.count = Connection(gateway.forward, tls=tls), tag, 0
        case.defer(self.connection.close)
        if client:
            equal("refusal", self.connection.greet(client), None)
        self.talk()

    def talk(self):
        self.connection.acknowledged(self.tag, {"number": self.count})
        self.count += 1


def test_keys_reloaded(case):
    """SIGHUP: the new key counts for who comes now, who is in stays in. A configuration that is wrong changes nothing."""
    gateway = gateway_with(case, security=SECURITY)
    talker = Talker(case, gateway, "talker", Client(KEY, **ALICE))
    gateway.reload({"inputs": {"forward": {"security": {"shared_key": "the-second-key"}}}})
    wait_until("the new key opens", lambda: refusal(gateway, Client("the-second-key", **ALICE)) is None)
    equal("the old key", refusal(gateway, Client(KEY, **ALICE)), "shared_key mismatch")
    talker.talk()
    gateway.reload({"inputs": {"forward": {"security": {"users": []}}}})  # user_auth without users
    logged(gateway, "ERROR", "faults")
    logged(gateway, "security.user")
    equal("the second key", refusal(gateway, Client("the-second-key", **ALICE)), None)
    talker.talk()
    stored(gateway, talker.count, "talker")
    no_secrets_in_the_log(gateway, "the-second-key")


def test_keys_in_a_mounted_secret(case):
    """A key from a file that is swapped under the running gateway, as Kubernetes does it."""
    secret = MountedSecret(case.directory / "secret").put(shared_key=f"{KEY}\n")
    security = {**SECURITY, "shared_key": f"${{file:{secret.path('shared.key')}}}"}
    gateway = gateway_with(case, security=security)
    talker = Talker(case, gateway, "talker", Client(KEY, **ALICE))
    secret.put(shared_key="the-second-key\n")
    wait_until("the new key opens", lambda: refusal(gateway, Client("the-second-key", **ALICE)) is None, 60, 0.5)
    equal("the old key", refusal(gateway, Client(KEY, **ALICE)), "shared_key mismatch")
    talker.talk()
    stored(gateway, talker.count, "talker")


def served_serial(gateway, authority):
    """The serial number of the certificate that a new connection is shown."""
    with Connection(gateway.forward, tls=authority.client()) as connection:
        return connection.socket.getpeercert()["serialNumber"]


def certificate_change(case, tell):
    """A pair is replaced by another; `tell` is what the operator does about it."""
    authority = Authority(case.directory)
    first, second, third = (authority.issue("gateway") for _ in range(3))
    secret = MountedSecret(case.directory / "secret").put(tls_crt=first.certificate, tls_key=first.key)
    gateway = gateway_with(case, tls={"certificate": secret.path("tls.crt"), "key": secret.path("tls.key")})
    talker = Talker(case, gateway, "talker", tls=authority.client())
    equal("the first certificate", served_serial(gateway, authority), first.serial())
    secret.put(tls_crt=second.certificate, tls_key=second.key)
    tell(gateway)
    wait_until("the second certificate", lambda: served_serial(gateway, authority) == second.serial(), 60, 0.2)
    talker.talk()
    secret.put(tls_crt=third.certificate, tls_key=second.key)  # a pair that is none: half-written
    tell(gateway)
    logged(gateway, "ERROR", "key")
    equal("the second is kept", served_serial(gateway, authority), second.serial())
    secret.put(tls_crt=third.certificate, tls_key=third.key)
    tell(gateway)
    wait_until("the third certificate", lambda: served_serial(gateway, authority) == third.serial(), 60, 0.2)
    talker.talk()
    stored(gateway, talker.count, "talker")


def test_certificates_reloaded_on_sighup(case):
    certificate_change(case, lambda gateway: gateway.reload({}))


def test_certificates_in_a_mounted_secret(case):
    certificate_change(case, lambda gateway: None)


def test_client_authority_reloaded(case):
    """Who may come in changes with the file of authorities, too."""
    authority, other = Authority(case.directory), Authority(case.directory, "another authority")
    secret = MountedSecret(case.directory / "secret").put(ca_crt=authority.file)
    gateway = gateway_with(case, tls=tls_of(authority, client_ca=secret.path("ca.crt")))
    known, stranger = authority.issue("edge-1", "DNS:edge-1.example"), other.issue("edge-2", "DNS:edge-2.example")

    def let_in(pair):
        try:
            with Connection(gateway.forward, tls=authority.client(pair)) as connection:
                connection.acknowledged("let.in", {"log": "x"})
                return True
        except (OSError, ssl.SSLError, AssertionError):
            return False

    equal("before", (let_in(known), let_in(stranger)), (True, False))
    secret.put(ca_crt=other.file)
    gateway.reload({})
    wait_until("the other authority counts", lambda: let_in(stranger))
    equal("the first one does not any more", let_in(known), False)


def test_half_configured_security_does_not_start(case):
    """A gateway that would be more open than its owner thinks does not start, and says which key is the reason."""
    for name, security, key in (
        ("key", {"self_hostname": "g"}, "shared_key"),
        ("empty", {"shared_key": ""}, "shared_key"),
        ("users", {"shared_key": KEY, "user_auth": True}, "users"),
        ("idle-users", {"shared_key": KEY, "users": SECURITY["users"]}, "user_auth"),
        ("anonymous", {"shared_key": KEY, "allow_anonymous_source": False}, "clients"),
        ("unknown", {**SECURITY, "clients": [{"network": "10.0.0.0/8", "users": ["bob"]}]}, "bob"),
    ):
        gateway = case.gateway({"inputs": {"forward": {"security": security}}}, name=name, start=False)
        gateway.start(wait=False)
        equal(f"the exit code with {name}", gateway.wait() == 0, False)
        if key not in gateway.log_text():
            raise AssertionError(f"{name}: {gateway.log_text()[-300:]}")
        no_secrets_in_the_log(gateway)
