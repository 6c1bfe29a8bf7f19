"""`sluicegate query` and `sluicegate env`, as a person and a script use them: against the running gateway, a destination of a
configuration and an endpoint."""

import csv
import io
import json
import shlex
import subprocess
import sys
import time

from aliyun.log import LogItem, PutLogsRequest

from harness.log_service import PROJECT
from harness.wait import equal, wait_until

START = int(time.time()) - 600
COUNT = 60
RANGE = ("--from", str(START), "--to", str(START + 600))


def filled(case):
    """A gateway with lines of one sender, one a second, in LogGroups of twenty under one series of pack ids."""
    gateway = case.gateway()
    client = gateway.log_service().client
    for pack in range(COUNT // 20):
        items = [
            LogItem(START + n, [("n", str(n)), ("level", "error" if n % 10 == 0 else "info"), ("text", f'line {n}, "quoted"')])
            for n in range(pack * 20, pack * 20 + 20)
        ]
        tags = [("__pack_id__", f"0123456789ABCDEF-{pack:X}")]
        client.put_logs(PutLogsRequest(PROJECT, "default", "web", "10.0.0.7", items, logtags=tags))
    return gateway


def asked(gateway, query, *arguments, check=True):
    return gateway.command("query", query, *RANGE, "--operations", gateway.operations, *arguments, check=check)


def expect_in(text, *words):
    missing = [word for word in words if word not in text]
    equal(f"not said in {text[:600]!r}", missing, [])


def test_records(case):
    gateway = filled(case)
    found = [json.loads(line) for line in asked(gateway, "level: error", "--json").stdout.splitlines()]
    equal("in order", [int(row["n"]) for row in found], [0, 10, 20, 30, 40, 50])
    equal("their origin", {(row["__topic__"], row["__source__"]) for row in found}, {("web", "10.0.0.7")})
    lines = asked(gateway, "level: error").stdout.splitlines()
    equal("lines for people", len(lines), 6)
    expect_in(lines[1], "line 10", "error")
    table = list(csv.DictReader(io.StringIO(asked(gateway, "level: error", "--csv").stdout)))
    equal("quotes survive CSV", table[2]["text"], 'line 20, "quoted"')
    equal("limit", len(asked(gateway, "*", "--limit", "7").stdout.splitlines()), 7)


def test_sql(case):
    gateway, sql = filled(case), "* | SELECT level, count(*) AS lines, max(n) AS last GROUP BY level ORDER BY lines DESC"
    lines = asked(gateway, sql).stdout.splitlines()
    expect_in(lines[0], "level", "lines", "last")
    expect_in(" ".join(lines), "info", "54", "error", "6")
    rows = [json.loads(line) for line in asked(gateway, sql, "--json").stdout.splitlines()]
    equal("rows", [(row["level"], row["lines"]) for row in rows], [("info", "54"), ("error", "6")])
    rows = list(csv.reader(io.StringIO(asked(gateway, sql, "--csv").stdout)))
    equal("CSV", [row[:2] for row in rows], [["level", "lines"], ["info", "54"], ["error", "6"]])
    wrong = asked(gateway, "* | SELECT levl GROUP BY", check=False)
    equal("a wrong statement fails", wrong.returncode != 0, True)
    expect_in(wrong.stderr, "ParameterInvalid")


def test_histogram(case):
    gateway = filled(case)
    plot = asked(gateway, "*", "--histogram").stdout
    expect_in(plot, "####", "  10  ")  # no terminal: lines of time, count and bar
    pieces = [json.loads(line) for line in asked(gateway, "*", "--histogram", "--json").stdout.splitlines()]
    equal("all are counted", sum(int(piece["count"]) for piece in pieces), COUNT)
    rows = list(csv.DictReader(io.StringIO(asked(gateway, "level: error", "--histogram", "--csv").stdout)))
    equal("errors are counted", sum(int(row["count"]) for row in rows), 6)


def test_context(case):
    """Across the ends of LogGroups; lines around two hits are not shown twice."""
    gateway = filled(case)
    text = asked(gateway, "n: 20", "--context", "3").stdout
    expect_in(text, *[f"line {n}," for n in range(17, 24)])
    equal("no more than asked for", ["line 16," in text, "line 24," in text], [False, False])
    text = asked(gateway, "n in [30 32]", "--context", "3").stdout
    equal("each line once", [text.count(f"line {n},") for n in range(27, 36)], [1] * 9)
    equal("no gap is shown where there is none", "--" in text.splitlines(), False)
    text = asked(gateway, "n: 30 or n: 40", "--context", "3").stdout
    equal("a gap where there is one", text.splitlines().count("--"), 1)


def test_follow(case):
    gateway = filled(case)
    follower = subprocess.Popen(
        [gateway.binary, "query", "level: late", "--follow", "--json", "--operations", gateway.operations],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=gateway.environment,
    )
    case.defer(follower.stdout.close)
    case.defer(lambda: (follower.kill(), follower.wait()))
    client = gateway.log_service().client
    for number in range(3):
        item = LogItem(int(time.time()), [("n", str(number)), ("level", "late")])
        client.put_logs(PutLogsRequest(PROJECT, "default", "web", "10.0.0.7", [item]))
        equal("what arrives", json.loads(follower.stdout.readline())["n"], str(number))


def test_endpoint_and_configuration(case):
    """The same answers by an address and keys, and by a destination of a configuration file."""
    gateway = filled(case)
    key_id, secret = gateway.access_key()
    (case.directory / "secret").write_text(secret)
    address = f"http://127.0.0.1:{gateway.ports['log service']}"
    named = ["--endpoint", address, "--project", PROJECT, "--logstore", "default", "--access-key-id", key_id,
             "--access-key-file", str(case.directory / "secret")]
    rows = gateway.command("query", "level: error", *RANGE, "--json", *named).stdout.splitlines()
    equal("by endpoint", len(rows), 6)
    config = case.directory / "client.yaml"
    config.write_text(json.dumps({
        "data_dir": str(case.directory / "elsewhere"),
        "inputs": {"forward": {"listen": "127.0.0.1:0"}},
        "destinations": {"other": {
            "endpoint": "http://cn-local.log.local", "connect": address.removeprefix("http://"), "project": PROJECT, "logstore": "default",
            "access_key_id": key_id, "access_key_secret": secret,
        }},
    }))
    rows = gateway.command("query", "level: error", *RANGE, "--json", "--config", str(config)).stdout.splitlines()
    equal("by configuration", len(rows), 6)
    (case.directory / "secret").write_text("wrong")
    wrong = gateway.command("query", "*", *RANGE, *named, check=False)
    equal("a wrong secret fails", wrong.returncode != 0, True)
    expect_in(wrong.stderr, "SignatureNotMatch")
    equal("no secret is shown", secret in wrong.stderr + wrong.stdout, False)


def test_env(case):
    """What it prints is all that an unmodified SDK needs, in a shell and as JSON."""
    gateway = filled(case)
    script = (
        "import os; from aliyun.log import LogClient; e = os.environ; "
        "c = LogClient(e['ALIYUN_LOG_CLI_ENDPOINT'], e['ALIYUN_LOG_CLI_ACCESSID'], e['ALIYUN_LOG_CLI_ACCESSKEY']); "
        f"print(c.get_log('{PROJECT}', 'default', {START}, {START + 600}, query='level: error').get_count())"
    )
    command = f'eval "$({shlex.quote(gateway.binary)} env --operations {gateway.operations})" && {shlex.quote(sys.executable)} -c {shlex.quote(script)}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, env=gateway.environment)
    equal("the SDK's answer", (done.stdout.strip(), done.returncode), ("6", 0))
    told = json.loads(gateway.command("env", "--json", "--operations", gateway.operations).stdout)
    equal("project and key", (told["project"], told["access_key_id"]), (PROJECT, gateway.access_key()[0]))


def test_nobody_there(case):
    gateway = filled(case)
    operations = gateway.operations
    gateway.terminate()
    for command in [["query", "*"], ["env"]]:
        done = gateway.command(*command, "--operations", operations, check=False)
        equal(f"{command[0]} fails", done.returncode != 0, True)
        expect_in(done.stderr, operations)
    wait_until("it has ended", lambda: not gateway.running())
