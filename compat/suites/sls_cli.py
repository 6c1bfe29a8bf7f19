"""aliyun-log-cli, unmodified, as a process for each command: every command of the embedded service's table.

It has no command that writes logs; `copy_data` and the SDK do.
"""

import json
import pathlib
import sys
import time

from harness.log_service import LogService
from harness.sls_calls import NAME, Table, environment, run
from harness.wait import wait_until

TIME_LIMIT = 400
PROJECT, STORE = "cli-project", "cli-logs"
INDEX = {
    "line": {"token": [",", " ", ";", "="], "caseSensitive": False},
    "keys": {"level": {"type": "text", "token": [" "], "caseSensitive": False, "doc_value": True}, "n": {"type": "long", "doc_value": True}},
}


class Cli:
    """Calls of the command, and their rows."""

    def __init__(self, gateway, sign="v1"):
        self.environment, self.calls = environment(gateway), []
        self.globals = [
            f"--region-endpoint={NAME}", f"--access-id={self.environment['KEY_ID']}", f"--access-key={self.environment['KEY_SECRET']}",
            "--format-output=json", f"--sign-version={sign}", "--region-id=cn-local",
        ]

    def say(self, command, **arguments):
        """(exit code, standard output, standard error)"""
        text = {name: json.dumps(value) if isinstance(value, (dict, list)) else str(value) for name, value in arguments.items()}
        program = pathlib.Path(sys.executable).parent / "aliyunlog"
        done = run(
            [sys.executable, "-W", "ignore", str(program), "log", command, *(f"--{name}={value}" for name, value in text.items()), *self.globals],
            self.environment, 60,
        )
        return done.returncode, done.stdout, done.stderr

    def __call__(self, command, want=None, refused=None, **arguments):
        """Makes a call; `want` says what it must print, as JSON is read; `refused` the error code."""
        code, out, err = self.say(command, **arguments)
        wrong, text = None, (out + err).strip()
        if refused:
            wrong = None if refused in text else f"want {refused}: {text[-300:]}"
        elif code != 0 or "errorCode" in text:
            wrong = f"exit code {code}: {text[-300:]}"
        elif want is not None:
            try:
                wrong = None if want(json.loads(out) if out.strip() else None) else f"said {out.strip()[:300]}"
            except (ValueError, KeyError, TypeError, IndexError) as error:
                wrong = f"{error!r} in {out.strip()[:300]}"
        self.calls.append({"call": command, "said": " ".join(text.split())[:120], "wrong": wrong})
        try:
            return json.loads(out) if out.strip() and not wrong else None
        except ValueError:
            return None


def prepared(case):
    """A gateway with a project and a logstore of 200 records in two topics, put by the SDK with context."""
    gateway = case.gateway()
    logs = LogService(gateway.ports["log service"], *gateway.access_key(), PROJECT)
    logs.client.create_project(PROJECT, "")
    logs.client.create_logstore(PROJECT, STORE, 7, 2)
    from aliyun.log import LogItem, PutLogsRequest

    now = int(time.time())
    for topic, first in (("web", 0), ("app", 100)):
        items = [LogItem(now, [("n", str(first + i)), ("level", ("info", "error")[i % 2])], i + 1) for i in range(100)]
        tags = [("__pack_id__", f"{first + 1:016X}-0")]
        logs.client.put_logs(PutLogsRequest(PROJECT, STORE, topic, "10.0.0.9", items, logtags=tags))
    wait_until("200 records", lambda: logs.holds(200, "*", STORE))
    return gateway, logs, now


def finish(case, name, cli):
    table = Table(case, name)
    try:
        table.add(cli.calls)
    finally:
        table.close()


def test_projects_and_logstores(case):
    cli = Cli(case.gateway())
    of = {"project_name": PROJECT}
    cli("create_project", project_des="by the CLI", **of)
    cli("create_project", refused="ProjectAlreadyExist", project_des="", **of)
    cli("get_project", lambda said: said["description"] == "by the CLI", **of)
    cli("list_project", lambda said: PROJECT in [p["projectName"] for p in said["projects"]])
    cli("create_logstore", logstore_name="app-a", ttl=7, shard_count=2, **of)
    cli("create_logstore", refused="LogStoreAlreadyExist", logstore_name="app-a", **of)
    cli("get_logstore", lambda said: (said["ttl"], said["shardCount"]) == (7, 2), logstore_name="app-a", **of)
    cli("list_logstore", lambda said: said["logstores"] == ["app-a"], **of)
    cli("update_logstore", logstore_name="app-a", ttl=14, **of)
    cli("get_logstore", lambda said: said["ttl"] == 14, logstore_name="app-a", **of)
    of_store = {**of, "logstore_name": "app-a"}
    cli("get_index_config", refused="IndexConfigNotExist", **of_store)
    cli("create_index", index_detail=INDEX, **of_store)
    cli("get_index_config", lambda said: sorted(said["keys"]) == ["level", "n"], **of_store)
    cli("update_index", index_detail={**INDEX, "keys": {"level": INDEX["keys"]["level"]}}, **of_store)
    cli("delete_index", **of_store)
    cli("delete_logstore", **of_store)
    cli("get_logstore", refused="LogStoreNotExist", **of_store)
    cli("list_dashboard", lambda said: said["dashboards"] == [], project=PROJECT)
    cli("list_savedsearch", lambda said: said["savedsearches"] == [], project=PROJECT)
    cli("list_alert", project=PROJECT)
    cli("list_external_store", **of)
    cli("delete_project", **of)
    cli("list_logstore", refused="ProjectNotExist", **of)
    finish(case, "sls-cli-stores", cli)


def test_searches(case):
    gateway, logs, now = prepared(case)
    cli = Cli(gateway)
    of, span = {"project": PROJECT, "logstore": STORE}, {"from_time": now - 60, "to_time": now + 60}
    cli("get_log", lambda said: len(said["data"] if "data" in said else said) == 50, query="level: error and __topic__: web", size=100, **of, **span)
    request = {**of, "topic": "app", "fromTime": now - 60, "toTime": now + 60, "query": "level: info", "line": 100, "offset": 0, "reverse": "false"}
    cli("get_logs", lambda said: len(said["data"] if "data" in said else said) == 50, request=request)
    cli("get_log_all", query="*", **of, **span)
    cli("execute_logstore_sql", sql="* | select count(1) as c", power_sql="false", **of, **span)
    in_sql = f'select count(1) as c from "{STORE}" where __time__ > {now - 60} and __time__ < {now + 60}'
    cli("execute_project_sql", project=PROJECT, sql=in_sql, power_sql="false")
    cli("get_project_logs", request={"project": PROJECT, "query": in_sql})
    cli("get_histograms", request={**of, "topic": "", "fromTime": now - 60, "toTime": now + 60, "query": "*"})
    cli("list_topics", request={**of, "token": "", "line": 10})
    found = logs.page("n: 50 | with_pack_meta", STORE)
    meta = [(log.get("__tag__:__pack_id__"), log.get("__pack_meta__")) for log in found]
    pack_id, pack_meta = meta[0] if meta else ("none", "none")
    cli("get_context_logs", pack_id=pack_id, pack_meta=pack_meta, back_lines=2, forward_lines=2, **of)
    cli("get_log", refused="LogStoreNotExist", **{**of, "logstore": "gone"}, query="*", **span)
    finish(case, "sls-cli-searches", cli)


def test_shards_pulls_and_consumer_groups(case):
    gateway, _, now = prepared(case)
    cli = Cli(gateway)
    of = {"project_name": PROJECT, "logstore_name": STORE}
    cli("list_shards", lambda said: [s["shardID"] for s in said] == [0, 1], **of)
    began = cli("get_begin_cursor", shard_id=0, **of)
    cli("get_end_cursor", shard_id=0, **of)
    cli("get_cursor", shard_id=0, start_time="begin", **of)
    cursor = (began or {}).get("cursor", "none")
    cli("get_cursor_time", shard_id=0, cursor=cursor, **of)
    cli("get_previous_cursor_time", shard_id=0, cursor=cursor, **of)
    cli("pull_logs", shard_id=0, cursor=cursor, count=10, **of)
    cli("pull_log", shard_id=0, from_time=now - 60, to_time=now + 600, **of)
    dump = case.directory / "dump_{}.txt"
    cli("pull_log_dump", from_time=now - 60, to_time=now + 600, file_path=dump, **of)
    dumped = sum(len(path.read_text().splitlines()) for path in case.directory.glob("dump_*"))
    if dumped != 200:
        cli.calls.append({"call": "pull_log_dump", "said": "", "wrong": f"{dumped} records dumped, want 200"})
    cli("create_logstore", logstore_name="copied", ttl=7, shard_count=1, project_name=PROJECT)
    cli("copy_data", project=PROJECT, logstore=STORE, from_time=now - 60, to_time=now + 600, to_logstore="copied")
    cli("split_shard", shardId=0, split_hash="3f" + "f" * 30, **of)
    cli("merge_shard", shardId=2, **of)
    cli("arrange_shard", project=PROJECT, logstore=STORE, count=3)
    group = {"project": PROJECT, "logstore": STORE, "consumer_group": "cg-1"}
    cli("create_consumer_group", timeout=60, **group)
    cli("create_consumer_group", refused="ConsumerGroupAlreadyExist", timeout=60, **group)
    cli("list_consumer_group", project=PROJECT, logstore=STORE)
    cli("update_consumer_group", timeout=90, **group)
    cli("update_check_point", shard=1, check_point=cursor, **group)
    cli("get_check_point", **group)
    cli("delete_consumer_group", **group)
    finish(case, "sls-cli-pulls", cli)


def test_signature_v4_and_a_wrong_key(case):
    gateway = case.gateway()
    cli = Cli(gateway, "v4")
    cli("list_project", lambda said: said["count"] >= 1)
    cli("list_logstore", project_name="sluicegate")
    cli.globals[2] += "x"
    cli("list_logstore", refused="SignatureNotMatch", project_name="sluicegate")
    finish(case, "sls-cli-signatures", cli)
