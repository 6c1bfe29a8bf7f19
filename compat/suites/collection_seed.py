"""The seed, sentence by sentence: a Pod whose sidecar has Logtail's three variables and a key, and no configuration at all; a
project, a logstore, a machine group and an Nginx config made by the official CLI. Within a minute the first line is found.

The service is the embedded one of a gateway on the machine; Logtail's file of places leads the sidecar there. Behind it, without
Docker: names, addresses, ids and members that change. Each wait is printed; a minute is the most that any may take.
"""

import json

from harness.collection import MINUTE, Operator, collected, plain_lines, seconds_until
from harness.gateway import free_port
from harness.image import RESTRICTED, Container, shared_directory
from harness.image import around  # the runner takes it from here
from harness.own_machine import OwnMachine
from harness.wait import equal, wait_until
from suites.sidecar import NUMBER, Pod, demo_manifest, numbers, same_lines
from suites.sls_cli import Cli

PEERS = ["debian", "python"]
TIME_LIMIT = 420

PROJECT, GROUP, IDENTITY = "k8s-demo", "nginx-log-sidecar", "nginx-log-sidecar"
PLACES = "/etc/ilogtail/conf/cn-hangzhou/ilogtail_config.json"
THREE = ["ALIYUN_LOGTAIL_USER_ID", "ALIYUN_LOGTAIL_USER_DEFINED_ID", "ALIYUN_LOGTAIL_CONFIG"]
KEYS = ["remote_addr", "remote_user", "time_local", "request_method", "request_uri", "request_time", "request_length", "status",
        "body_bytes_sent", "http_referer", "http_user_agent"]
NGINX = r'(\S+) - (\S+) \[([^]]*)\] "(\w+) (\S+) [^"]*" (\S+) (\S+) (\d+) (\d+) "([^"]*)" "([^"]*)"'


def nginx_config(logstore, keys=KEYS):
    """What the console makes of "Nginx access log" and a log_format."""
    detail = {
        "logType": "common_reg_log", "logPath": "/var/log/nginx", "filePattern": "access.log", "maxDepth": 0, "dockerFile": False,
        "logBeginRegex": ".*", "regex": NGINX, "key": keys, "timeKey": "time_local", "timeFormat": "%d/%b/%Y:%H:%M:%S %z",
        "topicFormat": "none", "localStorage": True, "filterKey": [], "filterRegex": [],
    }
    return {"configName": "nginx-access", "inputType": "file", "logSample": "", "inputDetail": detail,
            "outputType": "LogService", "outputDetail": {"logstoreName": logstore}}


class SeedPod(Pod):
    """The application is that of the demo; the sidecar has what the seed gives it."""

    def __init__(self, case, engine, service):
        super().__init__(case, engine, network="host")
        self.service = service
        self.places = self.etc / "ilogtail_config.json"
        endpoint = f"http://127.0.0.1:{service.ports['log service']}"
        self.places.write_text(json.dumps({"data_server_list": [{"cluster": "cn-hangzhou", "endpoint": endpoint}]}))
        self.operations = f"127.0.0.1:{free_port()}"

    def sidecar(self):
        _, containers = demo_manifest()
        told = {entry["name"]: entry.get("value") for entry in containers["sluicegate"]["env"]}
        told = {name: told[name] for name in THREE}
        told["ALIBABA_CLOUD_ACCESS_KEY_ID"], told["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] = self.service.access_key()
        # Machine lists show who sends heartbeats to the config server, which the cloud's public API has none of. The port is the
        # test's: the machine's network is shared.
        told["SLUICEGATE__COLLECTION__CONFIG_SERVER"] = f"http://127.0.0.1:{self.service.ports['log service']}"
        told["SLUICEGATE__OPERATIONS__LISTEN"] = self.operations
        mounts = [f"--volume={self.logs}:/var/log/nginx:ro", f"--volume={self.places}:{PLACES}:ro", f"--volume={self.data}:/var/lib/sluicegate"]
        variables = [f"--env={name}={value}" for name, value in told.items()]
        container = Container(self.case, self.engine, *RESTRICTED, *mounts, *variables, network="host", arguments=["run"])
        return container.wait_until_ready(self.operations)

    def states(self, sidecar):
        return collected(sidecar.sluicegate("status", "--json", "--operations", self.operations))


def test_the_seed(case, engine):
    service = case.gateway({"log_service": {"enabled": True}})
    operator = Operator(Cli(service), service, PROJECT)
    logs = operator.logs
    found = lambda logstore="nginx", query="*": numbers(logs.search(query, logstore))  # noqa: E731

    pod = SeedPod(case, engine, service)
    sidecar, application = pod.sidecar(), pod.application(logs_per_sec=20, stderr="false")
    operator.logstore("nginx")
    operator.group(GROUP, IDENTITY)
    took = {"the machine list shows the sidecar": seconds_until("machine", lambda: operator.machines(GROUP)[1] == 1)}
    (machine,), _ = operator.machines(GROUP)
    equal("its id", machine.user_defined_id, IDENTITY)

    operator.config(nginx_config("nginx"))
    operator.apply("nginx-access", GROUP)
    took["a line can be queried, since the config was applied"] = seconds_until("a line", lambda: logs.holds(1, "*", "nginx"))
    record = logs.page(logstore="nginx", size=1)[0]
    equal("fields that are missing", [key for key in KEYS if key not in record], [])
    tags = {"__path__": "/var/log/nginx/access.log", "__user_defined_id__": IDENTITY}
    equal("tags", {key: record.get(f"__tag__:{key}") for key in tags}, tags)
    wait_until("lines of status 502", lambda: logs.holds(1, "502", "nginx"), MINUTE, 0.5)

    # Changed: another name for a field, then another logstore.
    operator.config(nginx_config("nginx", ["http_status" if key == "status" else key for key in KEYS]), "update")
    took["a renamed field"] = seconds_until(
        "a record with the new field", lambda: "http_status" in logs.page(logstore="nginx", size=1, reverse=True)[0])
    operator.logstore("nginx-new")
    operator.config(nginx_config("nginx-new"), "update")
    took["another logstore"] = seconds_until("a line in it", lambda: logs.holds(1, "*", "nginx-new"))

    # Removed: what is written from now on does not come.
    operator.remove("nginx-access", GROUP)
    took["removed"] = seconds_until("no configuration", lambda: pod.states(sidecar) == {})
    seen = sorted(found() + found("nginx-new"))
    behind = pod.written()[-1] + 100
    wait_until("more lines in the file", lambda: pod.written()[-1] > behind, MINUTE, 0.5)
    more = sorted(found() + found("nginx-new"))
    assert more[-1] < behind - 50 and len(more) - len(seen) < 50, f"{more[-1]} of {behind} came although the config is removed"

    # Applied again: on where it was.
    operator.apply("nginx-access", GROUP)
    took["applied again"] = seconds_until("the next line", lambda: logs.holds(1, f'"seq={behind}"', "nginx-new"))
    application.signal("TERM")
    equal("exit code of the application", application.ended(), 0)
    written = pod.written()
    wait_until("the last line", lambda: len(found()) + len(found("nginx-new")) >= len(written), MINUTE, 0.5)
    same_lines("in both logstores", found() + found("nginx-new"), written)
    sidecar.signal("TERM")
    equal("exit code of the sidecar", sidecar.ended(), 0)
    show(took, f"{len(written)} lines, each once")


def show(took, *more):
    for what, seconds in took.items():
        print(f"        {seconds:5.1f} s  {what}")
    for line in more:
        print(f"        {line}")


# --- without Docker: who the machine is changes under the agent


def prepared(case):
    """A service with a logstore, and the operator."""
    service = case.gateway({"log_service": {"enabled": True}}, name="service")
    operator = Operator(Cli(service), service, PROJECT)
    operator.logstore("lines")
    return service, operator


class Log:
    """A file in a directory of the test, and its lines in the logstore."""

    def __init__(self, case, operator):
        self.directory, self.logs = case.directory / "logs", operator.logs
        self.directory.mkdir()
        self.file, self.lines = self.directory / "app.log", []

    def write(self):
        self.lines.append(f"line {len(self.lines)}")
        with open(self.file, "a") as file:
            file.write(self.lines[-1] + "\n")

    def came(self):
        return self.logs.holds(len(self.lines), "*", "lines")

    def end(self):
        got = sorted(record["content"] for record in self.logs.search("*", "lines"))
        equal("lines, each once", got, sorted(self.lines))

    def config(self):
        return plain_lines("lines", self.directory, "*.log", "lines")


def test_ids_and_members_change(case, _engine):
    _, operator = prepared(case)
    log, ids = Log(case, operator), case.directory / "user_defined_id"
    agent = operator.agent(case, "agent", collection={"user_defined_id_file": str(ids)})
    operator.group("web", "web-id")
    operator.config(log.config())
    operator.apply("lines", "web")
    running = lambda: collected(agent.http("/status")[1])  # noqa: E731
    log.write()
    equal("of no group", running(), {})

    took = {}
    ids.write_text("other-id\nweb-id\n")
    took["an id comes into the file"] = seconds_until("the line", log.came)
    equal("machines", operator.machines("web")[1], 1)
    ids.write_text("other-id\n")
    took["it is taken out"] = seconds_until("the end of it", lambda: running() == {})
    log.write()
    operator.group("web", "other-id", action="update")
    took["the group takes the other id"] = seconds_until("the line", log.came)
    operator.group("web", "nobody", action="update")
    took["the group lets it go"] = seconds_until("the end of it", lambda: running() == {})
    log.write()
    operator.group("second", "other-id")
    operator.apply("lines", "second")
    took["another group takes it"] = seconds_until("the line", log.came)
    log.end()
    show(took)


def test_address_and_hostname_change(case, _engine):
    machine = OwnMachine(case, "web-1", "10.213.7.1")
    _, operator = prepared(case)
    log = Log(case, operator)
    agent = operator.agent(case, "agent")
    operator.group("by-address", "10.213.7.1", kind="ip")
    operator.config(log.config())
    operator.apply("lines", "by-address")
    running = lambda: collected(agent.http("/status")[1])  # noqa: E731
    newest = lambda: operator.logs.page(logstore="lines", size=1, reverse=True)[0]  # noqa: E731
    log.write()
    took = {"found by its address": seconds_until("the line", log.came)}
    equal("marks", (newest()["__source__"], newest()["__tag__:__hostname__"]), ("10.213.7.1", "web-1"))

    machine.rename("web-2")

    def has(mark, value):
        log.write()
        wait_until("the line", log.came, 10)
        return any(record[mark] == value for record in operator.logs.search("*", "lines"))

    took["records carry another host name"] = seconds_until("it", lambda: has("__tag__:__hostname__", "web-2"), every=1)
    machine.move("10.213.7.2")
    took["a group of its former address lets it go"] = seconds_until("the end of it", lambda: running() == {})
    log.write()
    operator.group("by-address", "10.213.7.2", kind="ip", action="update")
    took["the group has its new address"] = seconds_until("the line", log.came)
    equal("source", newest()["__source__"], "10.213.7.2")
    log.end()
    show(took)
