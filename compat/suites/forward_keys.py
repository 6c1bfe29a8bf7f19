"""Shared keys and users: the npm clients that can shake hands, and a client that lies.

A refusal has a reason that the peer reads and a line that the operator reads; no key, password or digest is ever in the
log; ten thousand failures harm nobody; keys change while connections go on.
"""

import asyncio
import contextlib
import pathlib
import threading

import msgpack

from harness import node
from harness.certificates import Authority, MountedSecret
from harness.forward import Connection, message, new_chunk
from harness.handshake import Client
from harness.secured import ALICE, KEY, PASSWORD, SECURITY, Talker, gateway_with, logged, no_secrets_in_the_log, stored, tls_of
from harness.wait import equal, wait_until

PEERS = ["debian", "npm"]
COUNT = 200
MIB = 1024 * 1024


# --- the Node clients


NODE_SECURITY = {"security": {"clientHostname": "node-1", "sharedKey": KEY, "username": "alice", "password": PASSWORD}}


def test_fluent_logger_with_keys(case):
    gateway = gateway_with(case, security=SECURITY)
    node.send(case, "fluent-logger.js", gateway.forward, "PackedForward", "ack", COUNT, NODE_SECURITY)
    stored(gateway, COUNT, "js.events")


def test_fluent_logger_with_tls_and_keys(case):
    authority = Authority(case.directory)
    gateway = gateway_with(case, security=SECURITY, tls=tls_of(authority))
    tls = {"ca": pathlib.Path(authority.file).read_text(), "servername": "localhost"}
    options = {**NODE_SECURITY, "tls": True, "tlsOptions": tls}
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
    print(f"        10,000 failures: {grown / MIB:.1f} MiB more after the first 2,000; {acked[0]} acks for the good client")
    stored(gateway, acked[0], "undisturbed")
    no_secrets_in_the_log(gateway, "not-the-key")


# --- keys that change while it runs


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
