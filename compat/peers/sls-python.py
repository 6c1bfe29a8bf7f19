"""Every call of the Python SDK that the embedded service answers, in groups: `sls-python.py GROUP`.

Reads KEY_ID, KEY_SECRET and ENDPOINT, and SIGN (v1 or v4) with PROJECT, and reaches the service by the proxy variable. Says
one line of JSON for each call: {"call", "said", "wrong"}.
"""

import json
import os
import sys
import tempfile
import time
import urllib.request

from aliyun.log import (
    GetHistogramsRequest, GetLogsRequest, GetProjectLogsRequest, ListTopicsRequest, LogClient, LogException, LogItem, PutLogsRequest,
)
from aliyun.log.index_config import IndexConfig, IndexKeyConfig, IndexLineConfig
from aliyun.log.log_logs_pb2 import LogGroup

import sls_collection

SIGN, PROJECT = os.environ.get("SIGN", "v1"), os.environ.get("PROJECT", "sluicegate")
client = LogClient(
    f"http://{os.environ['ENDPOINT']}", os.environ["KEY_ID"], os.environ["KEY_SECRET"], auth_version=SIGN, region="cn-local",
    securityToken=os.environ.get("TOKEN"),
)
now = int(time.time())
before, after = now - 60, now + 60


class Wrong(Exception):
    pass


def call(name, do, want=None, refused=None):
    """Makes a call. `want` is what it must give, or a function that says whether it is right; `refused` the error code."""
    said = wrong = None
    try:
        said = do()
        if refused:
            wrong = f"accepted, want {refused}"
        elif callable(want):
            wrong = None if want(said) else f"got {said!r}"
        elif want is not None and said != want:
            wrong = f"got {said!r}, want {want!r}"
    except LogException as error:
        said = error.get_error_code()
        if said != refused:
            wrong = f"{said}: {error.get_error_message()}"[:300]
        else:
            said = f"refused: {said}"
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps({"call": name, "said": "" if said is None else str(said)[:200], "wrong": wrong}), flush=True)
    return said


def until(do, seconds=20):
    """Tries until it gives something true; for what becomes visible a little later."""
    deadline = time.monotonic() + seconds
    while not (seen := do()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen


def logstore(name, **options):
    client.create_logstore(PROJECT, name, 7, options.pop("shards", 1), **options)
    return name


def put(store, contents, at=None, topic="web", tags=None, compress=True, key=None, kind=None):
    items = [LogItem(at or now, list(pairs.items()), nanosecond + 1) for nanosecond, pairs in enumerate(contents)]
    client.put_logs(PutLogsRequest(PROJECT, store, topic, "10.0.0.9", items, key, compress, tags, compress_type=kind))


def get(store, query="*", **options):
    return [log.contents for log in client.get_log(PROJECT, store, before, after, query=query, **options).get_logs()]


def numbers(logs):
    return sorted(int(log["n"]) for log in logs)


def puts():
    store = logstore("puts", shards=2)

    def stored(number):
        return lambda: until(lambda: [log["msg"] for log in get(store, f"n: {number}")])

    call("put_logs lz4", lambda: put(store, [{"n": "1", "msg": "hello 世界"}]))
    call("  read back", stored(1), ["hello 世界"])
    call("put_logs plain", lambda: put(store, [{"n": "2", "msg": "plain"}], compress=False))
    call("  read back", stored(2), ["plain"])

    call("put_logs zstd", lambda: put(store, [{"n": "3", "msg": "zstd " * 100}], kind="zstd"))
    call("  read back", stored(3), ["zstd " * 100])
    call("put_logs hash key", lambda: put(store, [{"n": "4", "msg": "routed"}], key="f" * 31 + "0"))
    call("  read back", stored(4), ["routed"])

    def raw():
        group = LogGroup(Topic="web", Source="raw")
        log = group.Logs.add(Time=now)
        for key, value in (("n", "5"), ("msg", "raw")):
            log.Contents.add(Key=key, Value=value)
        client.put_log_raw(PROJECT, store, group)

    call("put_log_raw", raw)
    call("  read back", stored(5), ["raw"])
    call("put_logs, 4,000 logs", lambda: put(store, [{"n": "6", "msg": f"m{i}"} for i in range(4000)]))
    call("  all are there", lambda: until(lambda: len(client.get_log(PROJECT, store, before, after, query="n: 6", offset=3999).get_logs())), 1)
    call("put_logs, 9 MB", lambda: put(store, [{"n": "7", "msg": "x" * 900_000} for _ in range(10)]))
    call("put_logs, no such logstore", lambda: put("no-such-store", [{"a": "b"}]), refused="LogStoreNotExist")

    def damaged():
        body = b"\xff" * 40
        headers = {"x-log-bodyrawsize": "40", "Content-Type": "application/x-protobuf"}
        client._send("POST", PROJECT, body, f"/logstores/{store}/shards/lb", {}, headers, "json")

    call("put_logs, no LogGroup", damaged, refused="PostBodyInvalid")
    tracked = logstore("tracked", enable_tracking=True)

    def track(name, **options):
        address = f"http://{PROJECT}.{os.environ['ENDPOINT']}/logstores/{name}/track"
        request = urllib.request.Request(
            address, json.dumps({"__topic__": "t", "__source__": "s", "__logs__": [{"n": "8", "msg": "tracked"}]}).encode(),
            {"x-log-apiversion": "0.6.0", "x-log-bodyrawsize": "100", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return answer.status

    call("web tracking", lambda: track(tracked), 200)
    call("  read back", lambda: until(lambda: [log["msg"] for log in get(tracked, "n: 8")]), ["tracked"])


def searches():
    store = logstore("searches", shards=2)
    index = IndexConfig(line_config=IndexLineConfig(token_list=[",", " ", ";", "=", ":"]), key_config_list={
        "level": IndexKeyConfig([" ", ","], index_type="text", doc_value=True), "n": IndexKeyConfig(index_type="long", doc_value=True),
        "msg": IndexKeyConfig([" "], index_type="text", doc_value=True),
    })
    call("create_index", lambda: client.create_index(PROJECT, store, index) and None)
    for topic, first in (("web", 0), ("app", 100)):
        logs = [{"n": str(first + i), "level": ("info", "error")[i % 2], "msg": f"hello world {first + i}"} for i in range(100)]
        put(store, logs, topic=topic, tags=[("env", "dev"), ("__pack_id__", f"{first + 1:016X}-0")])
    call("get_log", lambda: numbers(get(store, "level: info and n < 6")), [0, 2, 4])
    call("get_logs", lambda: len(client.get_logs(GetLogsRequest(PROJECT, store, before, after, "web", "level: error")).get_logs()), 50)
    for query, count in (
        ("level: error", 100), ("not level: error", 100), ('msg: "hello 7"', 1), ("n in [10 19]", 10), ("n > 150 and level: info", 24),
        ("__topic__: app", 100), ("__source__: 10.0.0.9", 200), ("__tag__:env: dev", 200), ("wor*", 200), ('#"world 42"', 1),
        ("(n = 1 or n = 2) and level: info", 1), ("no-such-word", 0),
    ):
        call(f"get_log {query}", lambda: len(page_all(store, query)), count)
    call("get_log pages", lambda: [len(get(store, offset=offset)) for offset in (0, 100, 200)], [100, 100, 0])
    call("get_log reverse", lambda: numbers(get(store, reverse=True, size=2, topic="app")), [198, 199])
    call("get_log bad query", lambda: get(store, 'level: "open'), refused="InvalidQueryString")
    call("get_log_all", lambda: sum(len(answer.get_logs()) for answer in client.get_log_all(PROJECT, store, before, after, query="*")), 200)
    sql = "* | select level, count(1) as c group by level order by level"
    call("get_log SQL", lambda: [(row["level"], row["c"]) for row in get(store, sql)], [("error", "100"), ("info", "100")])
    call("execute_logstore_sql", lambda: [
        log.contents for log in client.execute_logstore_sql(PROJECT, store, before, after, "* | select max(n) as top", False).get_logs()
    ], [{"top": "199"}])
    call("get_log scan (pipes of SPL)", lambda: len(get(store, "* | where level = 'error'", scan=True)), refused="NotSupported")

    def old_form():
        client._get_logs_v2_enabled = False
        try:
            return numbers(get(store, "n: 17"))
        finally:
            client._get_logs_v2_enabled = True

    call("get_log, old GET form", old_form, [17])

    def histograms():
        answer = client.get_histograms(GetHistogramsRequest(PROJECT, store, before, after, "", "level: info"))
        bars = answer.get_histograms()
        gaps = [(a.get_to(), b.get_from()) for a, b in zip(bars, bars[1:]) if a.get_to() != b.get_from()]
        return answer.get_total_count(), sum(bar.get_count() for bar in bars), gaps, bars[0].get_from() == before, bars[-1].get_to() == after

    call("get_histograms", histograms, (100, 100, [], True, True))
    call("list_topics", lambda: sorted(client.list_topics(ListTopicsRequest(PROJECT, store, "", 10)).get_topics()), ["app", "web"])
    request = GetProjectLogsRequest(PROJECT, f"select count(1) as c from {store} where __time__ > {before} and __time__ < {after}")
    call("get_project_logs", lambda: [log.contents["c"] for log in client.get_project_logs(request).get_logs()], ["200"])
    call("execute_project_sql", lambda: [
        log.contents["c"] for log in client.execute_project_sql(PROJECT, request.get_query(), False).get_logs()
    ], ["200"])

    def context():
        (anchor,) = get(store, "n: 50 | with_pack_meta")
        answer = client.get_context_logs(PROJECT, store, anchor["__tag__:__pack_id__"], anchor["__pack_meta__"], 2, 3)
        return [log.contents["n"] for log in answer.get_logs()], answer.get_back_lines(), answer.get_forward_lines()

    call("get_context_logs", context, (["48", "49", "50", "51", "52", "53"], 2, 3))


def page_all(store, query):
    found = []
    while True:
        page = get(store, query, offset=len(found))
        found += page
        if len(page) < 100:
            return found


def pulls():
    store = logstore("pulls", shards=2)
    shards = call("list_shards", lambda: [s["shardID"] for s in client.list_shards(PROJECT, store).get_shards_info()], [0, 1])
    low, high = "0" * 32, "f" * 31 + "0"
    began = int(time.time())
    for turn in range(3):
        put(store, [{"n": str(turn * 10 + i)} for i in range(10)], key=low)
        put(store, [{"n": str(100 + turn * 10 + i)} for i in range(10)], key=high)

    def read(shard, **options):
        cursor, found = client.get_begin_cursor(PROJECT, store, shard).get_cursor(), []
        end = client.get_end_cursor(PROJECT, store, shard).get_cursor()
        while cursor != end:
            answer = client.pull_logs(PROJECT, store, shard, cursor, 2, end, **options)
            found += [dict(log) for log in answer.get_flatten_logs_json()]
            if answer.get_next_cursor() == cursor:
                break
            cursor = answer.get_next_cursor()
        return found

    call("get_begin_cursor, get_end_cursor, pull_logs", lambda: numbers(read(0)), list(range(30)))
    call("  the other shard", lambda: numbers(read(1)), list(range(100, 130)))
    call("pull_logs zstd", lambda: numbers(read(0, accept_compress_type="zstd")), list(range(30)))
    call("pull_logs plain", lambda: numbers(read(0, compress=False)), list(range(30)))
    call("pull_logs with a search", lambda: numbers(read(0, query="n: 7")), [7])
    call("get_cursor by time", lambda: numbers(read(0)) and client.get_cursor(PROJECT, store, 0, began - 60).get_cursor() and True, True)
    call("get_cursor_time", lambda: abs(client.get_cursor_time(
        PROJECT, store, 0, client.get_end_cursor(PROJECT, store, 0).get_cursor()).get_cursor_time() - time.time()) < 300, True)
    call("get_previous_cursor_time", lambda: abs(client.get_previous_cursor_time(
        PROJECT, store, 0, client.get_end_cursor(PROJECT, store, 0).get_cursor()).get_cursor_time() - time.time()) < 300, True)
    call("pull_logs, no cursor", lambda: client.pull_logs(PROJECT, store, 0, "garbage"), refused="InvalidCursor")
    call("pull_logs, no such shard", lambda: client.pull_logs(PROJECT, store, 77, "MTcwMDAwMDAwMDAwMDAwMDAwMA=="), refused="ShardNotExist")
    call("pull_log", lambda: numbers(
        log for answer in client.pull_log(PROJECT, store, 0, began - 10, began + 600) for log in answer.get_flatten_logs_json()
    ), list(range(30)))

    def dump():
        with tempfile.TemporaryDirectory() as directory:
            client.pull_log_dump(PROJECT, store, began - 10, began + 600, directory + "/dump_{}.data")
            return sum(sum(1 for _ in open(f"{directory}/{name}")) for name in os.listdir(directory))

    call("pull_log_dump", dump, 60)
    copy = logstore("copied")
    call("copy_data", lambda: client.copy_data(PROJECT, store, began - 10, began + 600, to_logstore=copy).get_body()["total_count"], 60)
    call("  read back", lambda: len(until(lambda: (found := page_all(copy, "*")) if len(page_all(copy, "*")) == 60 else None) or []), 60)

    def states():
        return {s["shardID"]: s["status"] for s in client.list_shards(PROJECT, store).get_shards_info()}

    call("split_shard", lambda: client.split_shard(PROJECT, store, 0, "3f" + "f" * 30) and states(), {
        0: "readonly", 1: "readwrite", 2: "readwrite", 3: "readwrite"})
    call("merge_shard", lambda: client.merge_shard(PROJECT, store, 2) and states(), {
        0: "readonly", 1: "readwrite", 2: "readonly", 3: "readonly", 4: "readwrite"})
    call("delete_shard", lambda: client.delete_shard(PROJECT, store, 2) and states(), lambda found: 2 not in found)
    call("put_logs after a split", lambda: put(store, [{"n": "999"}], key=low))
    call("  read back from the new shard", lambda: numbers(read(4)), [999])
    call("arrange_shard", lambda: client.arrange_shard(PROJECT, store, 3) and None)


def groups():
    store, group = logstore("groups", shards=2), "cg-1"
    end = lambda shard: client.get_end_cursor(PROJECT, store, shard).get_cursor()
    call("create_consumer_group", lambda: client.create_consumer_group(PROJECT, store, group, 60) and None)
    call("create_consumer_group twice", lambda: client.create_consumer_group(PROJECT, store, group, 60), refused="ConsumerGroupAlreadyExist")
    call("list_consumer_group", lambda: [
        (g.get_consumer_group_name(), g.get_timeout(), g.is_in_order()) for g in client.list_consumer_group(PROJECT, store).get_consumer_groups()
    ], [(group, 60, False)])
    call("update_consumer_group", lambda: client.update_consumer_group(PROJECT, store, group, 90, True) and [
        (g.get_timeout(), g.is_in_order()) for g in client.list_consumer_group(PROJECT, store).get_consumer_groups()], [(90, True)])
    call("heart_beat", lambda: sorted(client.heart_beat(PROJECT, store, group, "c1", []).get_shards()), [0, 1])
    call("heart_beat of a second", lambda: sorted(client.heart_beat(PROJECT, store, group, "c2", []).get_shards()), lambda got: len(got) <= 1)
    call("update_check_point", lambda: client.update_check_point(PROJECT, store, group, 0, end(0), "c1") and None)
    call("get_check_point", lambda: sorted(
        (c["shard"], bool(c["checkpoint"])) for c in client.get_check_point(PROJECT, store, group).get_consumer_group_check_points()
    ), [(0, True), (1, False)])
    call("update_check_point not held", lambda: client.update_check_point(
        PROJECT, store, group, 0, end(0), "stranger", force_success=False) and None, refused="ConsumerNotExsit")
    call("delete_consumer_group", lambda: client.delete_consumer_group(PROJECT, store, group) and [
        g.get_consumer_group_name() for g in client.list_consumer_group(PROJECT, store).get_consumer_groups()], [])
    call("heart_beat, no such group", lambda: client.heart_beat(PROJECT, store, "gone", "c1", []), refused="ConsumerGroupNotExist")


def stores():
    other = f"{PROJECT}-other"
    call("create_project", lambda: client.create_project(other, "made by the SDK") and None)
    call("create_project twice", lambda: client.create_project(other, ""), refused="ProjectAlreadyExist")
    call("get_project", lambda: client.get_project(other).get_description(), "made by the SDK")
    call("list_project", lambda: other in [p["projectName"] for p in client.list_project().get_projects()], True)
    call("update_project", lambda: client.update_project(other, "changed") and client.get_project(other).get_description(), "changed")
    call("create_logstore", lambda: [client.create_logstore(other, name, 7, 2) and name for name in ("app-a", "app-b", "sys")] and None)
    call("create_logstore twice", lambda: client.create_logstore(other, "app-a"), refused="LogStoreAlreadyExist")
    call("create_logstore, bad name", lambda: client.create_logstore(other, "Bad Name"), refused="LogStoreInfoInvalid")
    call("get_logstore", lambda: (client.get_logstore(other, "app-a").get_ttl(), client.get_logstore(other, "app-a").get_shard_count()), (7, 2))
    call("list_logstore", lambda: sorted(client.list_logstore(other).get_logstores()), ["app-a", "app-b", "sys"])
    call("list_logstore by part", lambda: sorted(client.list_logstore(other, "app").get_logstores()), ["app-a", "app-b"])
    call("update_logstore", lambda: client.update_logstore(other, "app-a", ttl=14) and client.get_logstore(other, "app-a").get_ttl(), 14)
    call("delete_logstore", lambda: client.delete_logstore(other, "sys") and sorted(client.list_logstore(other).get_logstores()), ["app-a", "app-b"])
    call("get_logstore, gone", lambda: client.get_logstore(other, "sys"), refused="LogStoreNotExist")
    call("create_metric_store", lambda: client.create_metric_store(other, "metrics") and None)
    call("get_metric_store", lambda: client.get_metric_store(other, "metrics").get_ttl(), 30)
    call("list_substore", lambda: client.list_substore(other, "metrics").get_substores(), ["prom"])
    call("delete_metric_store", lambda: client.delete_metric_store(other, "metrics") and None)
    for thing in ("dashboard", "savedsearch", "alert", "external_store"):
        call(f"list_{thing}", lambda: getattr(client, f"list_{thing}")(other).get_count(), 0)
    call("create_dashboard", lambda: client.create_dashboard(other, {"dashboardName": "d", "charts": []}), refused="NotImplemented")
    call("get_project_tags", lambda: [tag for answer in client.get_project_tags(other) for tag in answer.get_tags()], [])
    call("delete_project", lambda: client.delete_project(other) and None)
    call("list_logstore, no such project", lambda: client.list_logstore(other), refused="ProjectNotExist")


def indexes():
    store = logstore("indexes")
    index = IndexConfig(
        line_config=IndexLineConfig(token_list=[",", " ", ";", "="]),
        key_config_list={
            "level": IndexKeyConfig([" ", ","], case_sensitive=True, index_type="text", doc_value=True),
            "latency": IndexKeyConfig(index_type="double", doc_value=True),
        },
    )
    call("get_index_config, none", lambda: client.get_index_config(PROJECT, store), refused="IndexConfigNotExist")
    call("create_index", lambda: client.create_index(PROJECT, store, index) and None)
    call("create_index twice", lambda: client.create_index(PROJECT, store, index), refused="IndexAlreadyExist")
    call("get_index_config", lambda: sorted(client.get_index_config(PROJECT, store).get_index_config().key_config_list), ["latency", "level"])
    put(store, [{"level": "Info", "latency": "1.5", "text": "plain"}, {"level": "info", "latency": "20", "text": "plain"}])
    call("  case is kept to", lambda: len(until(lambda: get(store, "level: Info"))), 1)
    call("  numbers are compared", lambda: [log["latency"] for log in get(store, "latency > 3.5")], ["20"])
    index.key_config_list["text"] = IndexKeyConfig([" "], index_type="text", doc_value=True)
    call("update_index", lambda: client.update_index(PROJECT, store, index) and sorted(
        client.get_index_config(PROJECT, store).get_index_config().key_config_list), ["latency", "level", "text"])
    call("delete_index", lambda: client.delete_index(PROJECT, store) and None)
    call("get_index_config, deleted", lambda: client.get_index_config(PROJECT, store), refused="IndexConfigNotExist")


def collection():
    sls_collection.collection(call, client, PROJECT, logstore("collected"))


def refusals():
    """Run with a key that is wrong."""
    want = os.environ["WANT"]
    call(f"list_logstore: {want}", lambda: client.list_logstore("sluicegate"), refused=want)
    call(f"put_logs: {want}", lambda: put("default", [{"a": "b"}]), refused=want)
    call(f"get_log: {want}", lambda: get("default"), refused=want)


def skewed():
    """Run with a clock of its own, an hour ahead: SDK and libraries as they are, only datetime gives another time."""
    import datetime

    import aliyun.log.auth as auth

    class Ahead(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.utcnow() + datetime.timedelta(seconds=int(os.environ["AHEAD"]))

    auth.datetime = Ahead
    want = os.environ.get("WANT")
    call("list_logstore", lambda: client.list_logstore("sluicegate") and None, refused=want)
    call("put_logs", lambda: put("default", [{"a": "b"}]), refused=want)


def main():
    group = sys.argv[1]
    if group not in ("refusals", "skewed"):
        try:
            client.create_project(PROJECT, "of the compat suite")
        except LogException as error:
            if error.get_error_code() != "ProjectAlreadyExist":
                raise
    {f.__name__: f for f in (puts, searches, pulls, groups, stores, indexes, collection, refusals, skewed)}[group]()


main()
