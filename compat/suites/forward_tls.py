"""TLS on the forward input: openssl as the client, client certificates, and certificates that change while connections go on.

A refusal is an alert for the peer and a line for the operator; nothing of a refused peer is stored.
"""

import contextlib
import ssl

from harness.certificates import Authority, MountedSecret
from harness.forward import Connection, ack_of, message, new_chunk
from harness.handshake import Client
from harness.openssl import s_client
from harness.secured import ALICE, FAST, KEY, SECURITY, Talker, gateway_with, logged, stored, tls_of
from harness.wait import equal, wait_until

PEERS = ["debian"]


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
    to = ["--to", f"127.0.0.1:{gateway.forward}", "--tls", "--ca", other.file, "--retries", "0"]
    done = gateway.command("send", "--tag", "x", *to, '{"log":"x"}', check=False)
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
                    equal("refusal", connection.greet(Client(KEY, **ALICE)), None)
                connection.acknowledged(name, {"log": "in"})
        stored(gateway, 2, name)


# --- certificates that change while it runs


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
