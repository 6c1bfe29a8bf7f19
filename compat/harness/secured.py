"""What the suites about secured inputs share: one key and one user, a gateway that wants them, and what to look for in
its log and its logstore."""

import re

from .forward import Connection
from .wait import equal, wait_until

FAST = {"destinations": {"local": {"batch_age": "100ms"}}}
KEY, PASSWORD = "the-common-key", "wonder-land"
ALICE = {"username": "alice", "password": PASSWORD}
SECURITY = {"self_hostname": "gateway-1", "shared_key": KEY, "user_auth": True, "users": [ALICE]}


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
