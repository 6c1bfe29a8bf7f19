"""The official Python SDK, unmodified, in a process of its own that reaches the embedded service by the proxy variable,
as the README tells its users. What the SDK can do here is what its users' programs can do."""

import os
import subprocess
import sys
import textwrap

from harness.forward import Connection, message, new_chunk
from harness.sls_calls import Table, python
from harness.wait import equal, wait_until

PREAMBLE = """
import os, sys, time
from aliyun.log import GetLogsRequest, LogClient, LogException, LogItem, PutLogsRequest
client = LogClient("http://cn-local.log.local", os.environ["KEY_ID"], os.environ["KEY_SECRET"])
project, now = "sluicegate", int(time.time())

def put(logstore, contents, compress=True, topic="web", at=None, tags=None):
    items = [LogItem(at or now, list(pairs.items()), nanosecond + 1) for nanosecond, pairs in enumerate(contents)]
    client.put_logs(PutLogsRequest(project, logstore, topic, "10.0.0.9", items, compress=compress, logtags=tags))

def get(query, logstore="sdk", **options):
    return [log.contents for log in client.get_log(project, logstore, now - 60, now + 60, query=query, **options).get_logs()]

def refused(call, *arguments):
    try:
        call(*arguments)
    except LogException as error:
        return error.get_error_code()
    return "accepted"
"""


def script(gateway, body, key=None):
    """Runs PREAMBLE and the body in a new process; returns what it prints, line by line."""
    key_id, secret = key or gateway.access_key()
    environment = {name: value for name, value in os.environ.items() if name.lower() not in ("no_proxy", "all_proxy")}
    environment |= {"KEY_ID": key_id, "KEY_SECRET": secret, "http_proxy": f"http://127.0.0.1:{gateway.ports['log service']}"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + textwrap.dedent(body)], capture_output=True, text=True, timeout=60,
        env=environment, stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise AssertionError(f"the SDK's program failed: {done.stderr.strip()[-600:]}")
    return done.stdout.splitlines()


def test_put_and_get(case):
    gateway = case.gateway()
    said = script(gateway, """
        client.create_logstore(project, "sdk", 30, 2)
        put("sdk", [{"level": "info", "msg": "hello 世界"}, {"level": "error", "msg": "boom"}])
        put("sdk", [{"level": "info", "msg": "plain"}], compress=False, tags=[("env", "dev")])
        print(sorted(log["msg"] for log in get("level: info")))
        print([(log["msg"], log["__topic__"], log["__tag__:env"]) for log in get("plain")])
        print(len(get("*")), len(get("not boom")), len(get('"hello" or boom')))
        old = client.get_logs(GetLogsRequest(project, "sdk", now - 60, now + 60, "web", "boom"))
        print([log.contents["msg"] for log in old.get_logs()], old.is_completed())
    """)
    equal("found", said, ["['hello 世界', 'plain']", "[('plain', 'web', 'dev')]", "3 2 2", "['boom'] True"])


def test_old_form_of_get_logs(case):
    """The GET form, which older SDKs and other languages use."""
    said = script(case.gateway(), """
        client.create_logstore(project, "sdk", 30, 2)
        put("sdk", [{"n": str(n)} for n in range(250)])
        client._get_logs_v2_enabled = False
        print(len(get("*")), [log["n"] for log in get("*", offset=248)], len(get("n: 17")))
    """)
    equal("found", said, ["100 ['248', '249'] 1"])


def test_order_and_paging(case):
    said = script(case.gateway(), """
        client.create_logstore(project, "sdk", 30, 2)
        for second in (3, 1, 2):
            put("sdk", [{"n": f"{second}.{i}"} for i in range(70)], at=now - 10 + second)
        pages = [get("*", offset=offset) for offset in (0, 100, 200)]
        numbers = [log["n"] for page in pages for log in page]
        print([len(page) for page in pages], numbers == [f"{s}.{i}" for s in (1, 2, 3) for i in range(70)])
        print([log["n"] for log in get("*", reverse=True, size=2)])
    """)
    equal("found", said, ["[100, 100, 10] True", "['3.69', '3.68']"])


def test_projects_and_logstores(case):
    said = script(case.gateway(), """
        client.create_project("second-project", "made by the SDK")
        print(client.get_project("second-project").get_projectname())
        for name in ("app-a", "app-b", "other"):
            client.create_logstore("second-project", name, 7, 1)
        print(sorted(client.list_logstore("second-project").get_logstores()))
        print(sorted(client.list_logstore("second-project", "app").get_logstores()))
        print(client.get_logstore("second-project", "app-a").get_ttl())
        client.delete_logstore("second-project", "app-a")
        print(sorted(client.list_logstore("second-project").get_logstores()))
        print(refused(client.create_logstore, "second-project", "app-b"), refused(client.get_logstore, "second-project", "app-a"))
        print(refused(client.list_logstore, "no-such-project"), refused(client.create_logstore, "second-project", "Bad Name"))
    """)
    want = [
        "second-project", "['app-a', 'app-b', 'other']", "['app-a', 'app-b']", "7", "['app-b', 'other']",
        "LogStoreAlreadyExist LogStoreNotExist", "ProjectNotExist LogStoreInfoInvalid",
    ]
    equal("answers", said, want)


def test_wrong_key(case):
    gateway = case.gateway()
    key_id, secret = gateway.access_key()
    body = """
        print(refused(client.list_logstore, project))
        print(refused(put, "default", [{"a": "b"}]))
    """
    equal("wrong secret", script(gateway, body, (key_id, secret[::-1])), ["SignatureNotMatch"] * 2)
    equal("unknown id", script(gateway, body, ("LTAIunknown", secret)), ["Unauthorized"] * 2)
    equal("nothing was stored", gateway.log_service().search(), [])


def test_what_the_gateway_delivered(case):
    """Records that came in by the forward port, read back by a user's program."""
    gateway, chunk = case.gateway(), new_chunk()
    with Connection(gateway.forward) as connection:
        connection.send(message("app.web", {"log": "through the gateway", "n": 7}, chunk=chunk))
        equal("ack", connection.ack(), chunk)
    wait_until("delivered", lambda: gateway.log_service().holds(1))
    said = script(gateway, """
        (log,) = get("through the gateway", logstore="default")
        print(log["log"], log["n"], log["__topic__"], "__tag__:__pack_id__" in log)
    """)
    equal("read back", said[0].split()[:5], ["through", "the", "gateway", "7", "app.web"])


def test_stored_over_restarts(case):
    gateway = case.gateway(fixed_ports=True)
    script(gateway, 'client.create_logstore(project, "sdk", 30, 2); put("sdk", [{"msg": "kept"}])')
    gateway.kill()
    gateway.start()
    equal("after kill -9", script(gateway, 'print(get("kept")[0]["msg"])'), ["kept"])


# --- every call of the embedded service's table, with both signatures


def both_signatures(case, group):
    gateway, table = case.gateway(), Table(case, f"sls-python-{group}")
    try:
        wrong = []
        for sign in ("v1", "v4"):
            try:
                table.add(python(gateway, group, SIGN=sign, PROJECT=f"compat-{sign}"), sign)
            except AssertionError as error:
                wrong.append(str(error))
        equal("calls that went wrong", wrong, [])
    finally:
        table.close()


def test_calls_put(case):
    both_signatures(case, "puts")


def test_calls_search(case):
    both_signatures(case, "searches")


def test_calls_pull(case):
    both_signatures(case, "pulls")


def test_calls_consumer_groups(case):
    both_signatures(case, "groups")


def test_calls_stores(case):
    both_signatures(case, "stores")


def test_calls_indexes(case):
    both_signatures(case, "indexes")


def test_calls_refused(case):
    """Wrong keys and wrong clocks, by either signature; nothing is stored."""
    gateway, table = case.gateway(), Table(case, "sls-python-refusals")
    key_id, secret = gateway.access_key()
    for sign in ("v1", "v4"):
        table.add(python(gateway, "refusals", (key_id, secret[::-1]), SIGN=sign, WANT="SignatureNotMatch"), f"wrong secret, {sign}")
        table.add(python(gateway, "refusals", ("LTAIunknown", secret), SIGN=sign, WANT="Unauthorized"), f"unknown key, {sign}")
        for ahead in (3600, -3600):
            table.add(python(gateway, "skewed", SIGN=sign, AHEAD=ahead, WANT="RequestTimeExpired"), f"clock {ahead:+d} s, {sign}")
    equal("nothing was stored", gateway.log_service().search(), [])
    for ahead in (600, -600):
        table.add(python(gateway, "skewed", AHEAD=ahead), f"clock {ahead:+d} s")
    table.close()
