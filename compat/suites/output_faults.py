"""Faults on the way between our output and the embedded Log Service of another gateway, and the account of each: records sent,
requests made, LogGroups sent again, records refused and lost. Nothing may be lost, and a LogGroup that is sent again is
byte for byte the same.
"""

import itertools
import json
import time
from email.utils import formatdate

from harness.faulty_way import Cut, FaultyWay, Passed, answer, claimed_time, signed_anew
from harness.forward import AckedSender
from harness.wait import equal, wait_until
from suites.backend_down import buffered

TIME_LIMIT = 240
PROJECT = "sluicegate"


class Account:
    """A gateway in front, the way, and the service behind it."""

    def __init__(self, case, fault=None, logstore="default", **keys):
        self.case = case
        self.back = case.gateway(name="back")
        self.way = FaultyWay(self.back.ports["log service"])
        case.defer(self.way.close)
        self.way.fault = fault
        self.key_id, self.secret = self.back.access_key()
        self.logstore = logstore
        keys = {"access_key_id": self.key_id, "access_key_secret": self.secret, **keys}
        self.front = case.gateway({"destinations": {"cloud": {
            "endpoint": "http://cn-compat.log.test", "connect": f"127.0.0.1:{self.way.port}", "project": PROJECT, "logstore": logstore,
            "batch_age": "100ms", "request_timeout": "2s", **{name: value for name, value in keys.items() if value is not None},
        }}}, name="front")

    def send(self, count=1500):
        self.sender = AckedSender(self.front.forward, "faults", "app.faults", records_per_chunk=10, window=32, pause=0.002)
        self.sender.start()
        self.case.defer(self.sender.abandon)
        wait_until("records are taken while it fails", lambda: len(self.sender.acked) >= count, 60)
        self.sender.finish()
        return self

    def dead_letters(self):
        return self.front.metric("sluicegate_refused_records_total")

    def finish(self, title, again=True, halved=False, timeout=90):
        want, logs = set(self.sender.acked), self.back.log_service()

        def arrived():
            self.found = [int(record["number"]) for record in logs.search("*", self.logstore)]
            return want <= set(self.found)

        lost = 0
        try:
            wait_until("nothing waits to be sent", lambda: buffered(self.front) == 0, timeout, 0.2)
            wait_until("every acknowledged record", arrived, timeout, 0.3)
        except AssertionError:
            lost = len(want - set(self.found))
        refused = self.dead_letters()
        row = {
            "fault": title, "sent": len(want), "requests": self.way.requests, "faults": self.way.faults, "retried": self.way.retried(),
            "refused": int(refused), "stored twice": len(self.found) - len(set(self.found)), "lost": lost,
        }
        keep(self.case, row)
        equal(f"lost: {row}", lost, 0)
        equal("refused", refused, 0)
        if not halved:
            equal("pack ids that came with other bytes", self.way.unlike, [])
        equal("complaints of the way", self.way.complaints, [])
        if again and not self.way.retried():
            raise AssertionError(f"nothing was sent again: {row}")
        equal("/healthz", self.front.http("/healthz")[0], 200)
        return row


def keep(case, row):
    """Prints the row, and writes it into the table of this run."""
    print("        " + ", ".join(f"{name} {value}" for name, value in row.items()))
    path = case.work / "results" / "output_faults.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()] if path.with_suffix(".jsonl").exists() else []
    rows = [old for old in rows if old["fault"] != row["fault"]] + [row]
    path.with_suffix(".jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    width = max(len(one["fault"]) for one in rows)
    head = f"{'fault'.ljust(width)}  " + "  ".join(name for name in list(row)[1:])
    body = [f"{one['fault'].ljust(width)}  " + "  ".join(str(value).rjust(len(name)) for name, value in list(one.items())[1:]) for one in rows]
    path.write_text("\n".join([head, *body]) + "\n")


def some(fault, every=2, first=6):
    """The fault for the first requests, then for each `every`th of the next ones, then never again."""
    count = itertools.count()

    def now_and_then(request, way):
        number = next(count)
        return fault(request, way) if number < first or (number < 30 and number % every == 0) else None

    return now_and_then


def test_slow(case):
    """Answers come after the request's time-out: stored, and sent again."""

    def slow(request, way):
        said = way.forward(request)
        time.sleep(3)
        return said

    Account(case, some(slow, 5, 2)).send().finish("answers after the time-out")


def test_server_errors(case):
    codes = itertools.cycle([(500, "InternalServerError"), (502, None), (503, "ServerBusy"), (504, None)])
    Account(case, some(lambda *_: answer(*next(codes)))).send().finish("500, 502, 503, 504")


def test_project_quota(case):
    refusal = answer(403, "WriteQuotaExceed", "Project write quota exceed: Inflow Quota Exceed")
    Account(case, some(lambda *_: refusal, 8, 3)).send().finish("403 WriteQuotaExceed")


def test_shard_quota(case):
    refusal = answer(403, "ShardWriteQuotaExceed", "shard write quota exceed")
    Account(case, some(lambda *_: refusal, 8, 3)).send().finish("403 ShardWriteQuotaExceed")


def test_cut_in_mid_answer(case):
    """What was cut off had been stored."""
    Account(case, some(lambda request, way: Cut(way.forward(request)[:40]))).send().finish("cut in mid-answer")


def test_reset_before_an_answer(case):
    Account(case, some(lambda *_: Cut(b""))).send().finish("hung up without an answer")


def test_answer_without_request_id(case):
    """A broken proxy says 200 by itself: nothing was stored."""
    Account(case, some(lambda *_: answer(200, request_id=None))).send().finish("200 without x-log-requestid")


def test_html(case):
    """A portal's page, under several statuses."""
    page = b"<html><body>Sign in to the network</body></html>"
    statuses = itertools.cycle([200, 302, 403, 404, 502])
    html = lambda *_: answer(next(statuses), request_id=None, kind="text/html", body=page)
    Account(case, some(html)).send().finish("HTML of a proxy: 200, 302, 403, 404, 502")


def test_no_http(case):
    Account(case, some(lambda *_: Cut(b"SSH-2.0-OpenSSH_9.2\r\n"))).send().finish("an answer that is no HTTP")


def test_clock_off(case):
    """The service's clock is an hour ahead. The first request learns it; the others are signed by it."""
    account = Account(case)
    ahead = 3600

    def other_clock(request, way):
        now = time.time() + ahead
        if abs(claimed_time(request) - now) > 900:
            message = f"Request time {request.headers.get('date', '')} has been expired while server time is {formatdate(now, usegmt=True)}."
            return answer(400, "RequestTimeExpired", message, x_log_time=int(now), Date=formatdate(now, usegmt=True))
        return Passed(way.forward(signed_anew(request, account.key_id, account.secret)))

    account.way.fault = other_clock
    row = account.send().finish("clock an hour off")
    if row["retried"] > 20:
        raise AssertionError(f"the clock was not learned: {row}")


def test_expired_token(case):
    """Temporary keys in a file: the service refuses the old token until the file has the new one."""
    keys = case.directory / "keys.json"

    def write(token):
        keys.with_suffix(".new").write_text(json.dumps({
            "access_key_id": account.key_id, "access_key_secret": account.secret, "security_token": token,
        }) if account else "{}")
        keys.with_suffix(".new").rename(keys)

    def token_check(request, way):
        if request.headers.get("x-acs-security-token") != "new":
            return answer(401, "Unauthorized", "The security token you provided has expired")
        return None

    account = None
    keys.write_text(json.dumps({"access_key_id": "unset", "access_key_secret": "unset", "security_token": "old"}))
    account = Account(case, token_check, access_key_id=None, access_key_secret=None, credentials={"file": str(keys)})
    write("old")
    account.send()
    wait_until("the old token was refused", lambda: account.way.faults > 0)
    write("new")
    account.finish("401, security token expired")


def test_too_large(case):
    """The service takes less at once than we send: halved until it fits."""
    limit = 16 * 1024

    def small(request, _):
        return answer(413, "PostBodyTooLarge", f"Body size {request.raw_size} must little than {limit}.") if request.raw_size > limit else None

    Account(case, small, batch_bytes="64KiB").send().finish("413 PostBodyTooLarge", again=False, halved=True)


def test_not_there_until_created(case):
    """404 until somebody makes the logstore."""
    account = Account(case, logstore="made-later").send()
    wait_until("it was refused", lambda: account.way.requests > 1, 30)
    account.back.log_service().client.create_logstore(PROJECT, "made-later", 7, 1)
    account.finish("404 until the logstore is made")


def test_made_by_the_output(case):
    """The same with `auto_create`."""
    Account(case, logstore="made-by-us", auto_create=True).send().finish("404, auto_create", again=False)


def test_everything_at_once(case):
    """One fault after the other, at random by a fixed seed."""
    import random

    chance = random.Random(6)
    faults = [
        lambda *_: answer(500, "InternalServerError"), lambda *_: answer(403, "WriteQuotaExceed", "Write QPS Exceed"),
        lambda *_: answer(200, request_id=None), lambda *_: Cut(b""), lambda request, way: Cut(way.forward(request)[:17]),
        lambda *_: answer(503, "ServerBusy"), lambda *_: answer(401, "Unauthorized"),
    ]
    left = itertools.count(60, -1)
    Account(case, lambda request, way: chance.choice(faults)(request, way) if next(left) > 0 and chance.random() < 0.5 else None).send(
        3000
    ).finish("all of them, at random", timeout=120)
