"""AliyunLogConfig and ClusterAliyunPipelineConfig of an API server and of a directory: what they say is collected within
seconds, changed and ended, and told in their status.

The API server is harness/api_server.py with our own definitions, and it allows what docker/kubernetes/daemonset.yaml asks for.
"""

import copy
import pathlib
import time

import yaml
from harness.api_server import ApiServer
from harness.image import ROOT
from harness.log_service import PROJECT
from harness.wait import equal, wait_until

PEERS = ["python"]
KUBERNETES = ROOT / "docker" / "kubernetes"
SOON = 15  # seconds; a second or two as a rule


def documents(name):
    return [document for document in yaml.safe_load_all((KUBERNETES / name).read_text()) if document]


def rules(leave_out=()):
    (role,) = [document for document in documents("daemonset.yaml") if document["kind"] == "ClusterRole"]
    return [rule for rule in role["rules"] if not set(rule["resources"]) & set(leave_out)]


def log_config(name, path, logstore="access", namespace="kube-system", **more):
    path = pathlib.Path(path)
    detail = {
        "logType": "common_reg_log", "logPath": str(path.parent), "filePattern": path.name, "maxDepth": 0, "regex": "(.*)",
        "key": ["content"], "tailExisted": True,
    }
    return {
        "apiVersion": "log.alibabacloud.com/v1alpha1", "kind": "AliyunLogConfig", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "project": PROJECT, "logstore": logstore,
            "logtailConfig": {"inputType": "file", "configName": name, "inputDetail": detail}, **more,
        },
    }


def pipeline_config(name, path, logstore="access", **more):
    return {
        "apiVersion": "telemetry.alibabacloud.com/v1alpha1", "kind": "ClusterAliyunPipelineConfig", "metadata": {"name": name},
        "spec": {
            "project": {"name": PROJECT},
            "config": {
                "inputs": [{"Type": "input_file", "FilePaths": [str(path)]}],
                "flushers": [{"Type": "flusher_sls", "Logstore": logstore}],
            },
            **more,
        },
    }


class House:
    def __init__(self, case, allowed=None):
        self.case, self.logs = case, case.directory / "logs"
        self.logs.mkdir()
        self.api = ApiServer(case.directory / "cluster", documents("crds.yaml"), rules() if allowed is None else allowed).up()
        case.defer(self.api.close)
        self.wrote = 0

    def gateway(self, **options):
        collection = {"machine_groups": False, "kubernetes": self.api.configuration()}
        config = {"log_service": {"enabled": True}, "collection": collection, **options.pop("config", {})}
        return self.case.gateway(config, **options)

    def write(self, name, *lines):
        with open(self.logs / name, "a") as file:
            file.writelines(f"{line}\n" for line in lines)
        return self.logs / name


def contents(gateway, logstore="access"):
    return sorted(log["content"] for log in gateway.log_service().search(logstore=logstore))


def holds(gateway, *lines, logstore="access", timeout=SOON):
    """Waits for these lines, each once and no others; gives the seconds it took."""
    began = time.monotonic()
    wait_until(f"lines of {logstore}", lambda: len(contents(gateway, logstore)) >= len(lines), timeout, 0.1)
    equal(f"lines of {logstore}", contents(gateway, logstore), sorted(lines))
    return time.monotonic() - began


def said(gateway):
    """What `sluicegate status` says."""
    return gateway.command("status", "--operations", gateway.operations, check=False).stdout


def configs(gateway):
    """What is collected: name -> state."""
    return {config["id"]: config["state"] for config in yaml.safe_load(gateway.http("/status")[1])["collection"]["configs"]}


def becomes(gateway, **states):
    wanted = {f"{PROJECT}.{name}": state for name, state in states.items()}
    wait_until(f"configurations {wanted}", lambda: configs(gateway) == wanted, SOON)


def test_comes_changes_and_goes(case):
    house = House(case)
    gateway = house.gateway()
    web, app = house.write("web.log", "web 1", "web 2"), house.write("app.log", "app 1")
    first = log_config("web", web)
    house.api.apply(first)
    took = holds(gateway, "web 1", "web 2")
    house.api.apply(pipeline_config("app", app, "app-log"))
    holds(gateway, "app 1", logstore="app-log")
    wait_until("status", lambda: house.api.status(first) == {"status": "OK", "statusCode": 200}, SOON)
    wait_until("status", lambda: house.api.status(pipeline_config("app", app)).get("success") is True, SOON)
    # Another path: the old one is left, the other configuration is not touched.
    other = house.write("other.log", "other 1")
    house.api.apply(log_config("web", other))
    holds(gateway, "web 1", "web 2", "other 1")
    house.write("web.log", "too late")
    house.write("other.log", "other 2")
    house.write("app.log", "app 2")
    holds(gateway, "web 1", "web 2", "other 1", "other 2")
    holds(gateway, "app 1", "app 2", logstore="app-log")
    house.api.delete(first)
    becomes(gateway, app="running")
    house.write("other.log", "too late, too")
    house.write("app.log", "app 3")
    holds(gateway, "app 1", "app 2", "app 3", logstore="app-log")
    # Applied again, it goes on where it was.
    house.api.apply(log_config("web", other))
    holds(gateway, "web 1", "web 2", "other 1", "other 2", "too late, too")
    equal("requests that the role does not allow", house.api.refusals, [])
    equal("lists of each kind", {kind: house.api.asked("list", kind) for kind in kinds()}, dict.fromkeys(kinds(), 1))
    print(f"        a first line was there {took:.1f} s after its resource")


def kinds():
    return ["aliyunlogconfigs", "clusteraliyunpipelineconfigs"]


def test_a_logstore_is_made_as_its_resource_says(case):
    """And the project of the embedded service is that of a resource that names none."""
    house = House(case)
    gateway = house.gateway()
    old, new = log_config("web", house.write("web.log", "web 1"), "web-log", shardCount=4, lifeCycle=7), None
    del old["spec"]["project"]
    index = {"line": {"token": [","], "caseSensitive": True}}
    store = {"name": "app-log", "ttl": 14, "shardCount": 3, "queryMode": "query", "index": index}
    new = pipeline_config("app", house.write("app.log", "app 1"), "app-log", logstores=[store])
    house.api.apply(old)
    house.api.apply(new)
    holds(gateway, "web 1", logstore="web-log")
    holds(gateway, "app 1", logstore="app-log")
    service = gateway.log_service()
    for logstore, days, shards in (("web-log", 7, 4), ("app-log", 14, 3)):
        made = service.client.get_logstore(PROJECT, logstore)
        equal(f"{logstore}: days and shards", (made.ttl, made.shard_count), (days, shards))
    equal("its index", service.client.get_index_config(PROJECT, "app-log").get_index_config().line_config.case_sensitive, True)
    # What is there stays as it is, and what was collected is not collected again.
    old["spec"]["lifeCycle"] = 30
    house.api.apply(old)
    house.write("web.log", "web 2")
    holds(gateway, "web 1", "web 2", logstore="web-log")
    equal("days", service.client.get_logstore(PROJECT, "web-log").ttl, 7)
    becomes(gateway, web="running", app="running")


def test_server_away(case):
    house = House(case)
    gateway = house.gateway(fixed_ports=True)
    web = house.write("web.log", "1")
    house.api.apply(log_config("web", web))
    holds(gateway, "1")
    house.api.down()
    wait_until("the gateway says so", lambda: "the API server" in said(gateway), SOON)
    house.write("web.log", "2")
    holds(gateway, "1", "2")
    # A start without it.
    gateway.terminate()
    house.write("web.log", "3")
    gateway.start()
    holds(gateway, "1", "2", "3")
    # What happened meanwhile is noticed, also when the server forgot its history.
    app = house.write("app.log", "app 1")
    house.api.apply(pipeline_config("app", app, "app-log"))
    house.api.delete(log_config("web", web))
    house.api.compact()
    house.api.up()
    holds(gateway, "app 1", logstore="app-log", timeout=45)
    becomes(gateway, app="running")
    wait_until("nothing is amiss", lambda: "the API server" not in said(gateway), 45)


def test_watches_end_and_history_is_compacted(case):
    house = House(case)
    house.api.bookmark_every = 0.2
    gateway = house.gateway()
    lines = []
    for number in range(4):
        name = f"file{number}"
        house.api.apply(log_config(name, house.write(f"{name}.log", name)))
        lines.append(name)
        holds(gateway, *lines)
        if number % 2:
            house.api.compact()
        house.api.down()
        house.api.up()
    equal("configurations", len(configs(gateway)), 4)


def test_may_not_write_statuses(case):
    house = House(case, rules(leave_out=[f"{kind}/status" for kind in kinds()]))
    gateway = house.gateway()
    config = log_config("web", house.write("web.log", "1"))
    house.api.apply(config)
    holds(gateway, "1")
    wait_until("it says which right is missing", lambda: "patch of aliyunlogconfigs/status" in said(gateway), SOON)
    equal("status", house.api.status(config), {})
    house.write("web.log", "2")
    holds(gateway, "1", "2")
    tries = len(house.api.refusals)
    equal(f"{tries} tries are few", tries < 10, True)


def test_may_not_list_one_kind(case):
    house = House(case, rules(leave_out=["clusteraliyunpipelineconfigs"]))
    gateway = house.gateway()
    house.api.apply(log_config("web", house.write("web.log", "1")))
    wait_until("it says which right is missing", lambda: "list of clusteraliyunpipelineconfigs" in gateway.log_text(), SOON)
    # A right may be late; after a minute it is taken for one that is meant to be missing.
    holds(gateway, "1", timeout=100)


def test_refused_by_name(case):
    house = House(case)
    gateway = house.gateway()
    web = house.write("web.log", "1")
    good, bad = log_config("web", web), log_config("bad", web)
    bad["spec"]["logtailConfig"]["inputType"] = "syslog"
    unnamed = log_config("unnamed", house.write("unnamed.log", "unnamed"), "unnamed-log")
    del unnamed["spec"]["project"]
    for config in (good, bad, unnamed):
        house.api.apply(config)
    holds(gateway, "1")
    wait_until("status of a refused one", lambda: house.api.status(bad).get("statusCode") == 400, SOON)
    # One without a project is of the embedded service's own.
    wait_until("status of one without a project", lambda: house.api.status(unnamed).get("statusCode") == 200, SOON)
    equal("reason", "inputType" in house.api.status(bad)["status"], True)
    holds(gateway, "unnamed", logstore="unnamed-log")
    equal("status names it", "bad" in said(gateway), True)
    # A newer version that makes no sense: the last good one runs on, over a restart, too.
    worse = copy.deepcopy(good)
    worse["spec"]["logtailConfig"]["configName"] = "another"
    house.api.apply(worse)
    wait_until("status", lambda: house.api.status(good).get("statusCode") == 400, SOON)
    house.write("web.log", "2")
    holds(gateway, "1", "2")
    gateway.terminate()
    gateway.start()
    house.write("web.log", "3")
    holds(gateway, "1", "2", "3")
    house.api.apply(good)
    wait_until("status", lambda: house.api.status(good) == {"status": "OK", "statusCode": 200}, SOON)


def test_machine_groups(case):
    house = House(case)
    gateway = house.gateway(config={"agent": {"user_defined_ids": ["web", "shop"]}})
    ours = house.write("ours.log", "ours")
    house.api.apply(log_config("theirs", house.write("theirs.log", "theirs"), machineGroups=["db"]))
    house.api.apply(log_config("ours", ours, machineGroups=["db", "shop"]))
    house.api.apply(pipeline_config("all", house.write("all.log", "all"), "all-log"))
    holds(gateway, "ours")
    holds(gateway, "all", logstore="all-log")
    equal("configurations", sorted(configs(gateway)), [f"{PROJECT}.all", f"{PROJECT}.ours"])


def test_many_gateways_write_one_status(case):
    house, count = House(case), 4
    gateways = [house.gateway(name=f"gateway{number}") for number in range(count)]
    config = log_config("web", house.write("web.log", "1"))
    house.api.apply(config)
    for gateway in gateways:
        holds(gateway, "1")
    wait_until("status", lambda: house.api.status(config).get("statusCode") == 200, SOON)
    written = house.api.asked("patch", "aliyunlogconfigs/status")
    equal(f"{written} writes are at most one each", written <= count, True)
    for number in range(3):
        house.api.apply(log_config("web", house.write(f"web{number}.log", f"more {number}")))
        for gateway in gateways:
            wait_until("the next version", lambda g=gateway, n=number: f"more {n}" in contents(g), SOON)
    equal("what changes no status is not written", house.api.asked("patch", "aliyunlogconfigs/status"), written)


def test_directory(case):
    directory, logs = case.directory / "resources", case.directory / "logs"
    directory.mkdir()
    logs.mkdir()
    (logs / "web.log").write_text("web 1\n")
    (logs / "app.log").write_text("app 1\n")
    gateway = case.gateway({"log_service": {"enabled": True}, "collection": {"machine_groups": False, "directory": str(directory)}})
    both = [log_config("web", logs / "web.log"), pipeline_config("app", logs / "app.log", "app-log")]
    (directory / "both.yaml").write_text(yaml.safe_dump_all(both))
    holds(gateway, "web 1")
    holds(gateway, "app 1", logstore="app-log")
    (directory / "both.yaml").write_text("kind: [")
    wait_until("the file is named", lambda: "both.yaml" in said(gateway), SOON)
    with open(logs / "web.log", "a") as file:
        file.write("web 2\n")
    holds(gateway, "web 1", "web 2")
    (directory / "both.yaml").write_text(yaml.safe_dump(both[1]))
    becomes(gateway, app="running")
