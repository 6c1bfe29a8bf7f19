"""Collection configured in Log Service: the official SDK and CLI, unmodified, make machine groups and configs and apply them;
an agent of the ConfigServer protocol sends heartbeats, is listed, and gets what is applied to it."""

import json
import time
import urllib.request

from harness.log_service import LogService
from harness.sls_calls import Table, python
from harness.wait import equal
from suites.sls_cli import Cli, finish

TIME_LIMIT = 300
PROJECT, STORE = "collected", "app-log"
JSON_CONFIG = {
    "configName": "json", "inputType": "file", "outputType": "LogService", "outputDetail": {"logstoreName": STORE},
    "inputDetail": {"logType": "json_log", "logPath": "/var/log/app", "filePattern": "*.log", "timeFormat": "", "timeKey": "", "localStorage": True},
}
NGINX_CONFIG = {
    "configName": "nginx", "inputType": "file", "outputType": "LogService", "outputDetail": {"logstoreName": STORE}, "logSample": "x",
    "inputDetail": {
        "logType": "common_reg_log", "logPath": "/var/log/nginx", "filePattern": "access.log", "logBeginRegex": ".*",
        "regex": r'(\S+) - (\S+) \[([^]]+)] "(\S+) (\S+) [^"]*" (\d+) (\d+)', "timeFormat": "%d/%b/%Y:%H:%M:%S", "timeKey": "time_local",
        "key": ["remote_addr", "remote_user", "time_local", "request_method", "request_uri", "status", "body_bytes_sent"],
    },
}
PIPELINE = {
    "configName": "pipe", "inputs": [{"Type": "input_file", "FilePaths": ["/var/log/pipe/*.log"]}],
    "flushers": [{"Type": "flusher_sls", "Logstore": STORE}],
}
GROUP = {
    "group_name": "mg-1", "machine_type": "userdefined", "machine_list": ["nginx-sidecar"], "group_type": "",
    "group_attribute": {"externalName": "", "groupTopic": "web"},
}


def test_calls_of_the_sdk(case):
    gateway, table = case.gateway(), Table(case, "sls-python-collection")
    try:
        wrong = []
        for sign in ("v1", "v4"):
            try:
                table.add(python(gateway, "collection", SIGN=sign, PROJECT=f"compat-{sign}"), sign)
            except AssertionError as error:
                wrong.append(str(error))
        equal("calls that went wrong", wrong, [])
    finally:
        table.close()


def of_project(gateway):
    """The CLI, and a project with a logstore."""
    client = LogService(gateway.ports["log service"], *gateway.access_key(), PROJECT).client
    client.create_project(PROJECT, "")
    client.create_logstore(PROJECT, STORE, 7, 1)
    return Cli(gateway), client


def test_calls_of_the_cli(case):
    cli, _ = of_project(case.gateway())
    of = {"project_name": PROJECT}
    group, config = {**of, "group_name": "mg-1"}, {**of, "config_name": "json"}
    cli("create_machine_group", group_detail=GROUP, **of)
    cli("create_machine_group", refused="MachineGroupAlreadyExist", group_detail=GROUP, **of)
    cli("get_machine_group", lambda said: said["machineList"] == ["nginx-sidecar"], **group)
    cli("update_machine_group", group_detail={**GROUP, "machine_list": ["nginx-sidecar", "other"]}, **of)
    cli("get_machine_group", lambda said: said["machineList"] == ["nginx-sidecar", "other"], **group)
    cli("list_machine_group", lambda said: said["machinegroups"] == ["mg-1"], **of)
    cli("list_machines", lambda said: said["machines"] == [], **group)
    cli("create_logtail_config", config_detail=JSON_CONFIG, **of)
    cli("create_logtail_config", config_detail=NGINX_CONFIG, **of)
    cli("create_logtail_config", refused="ConfigAlreadyExist", config_detail=JSON_CONFIG, **of)
    cli("get_logtail_config", lambda said: said["inputDetail"]["filePattern"] == "*.log", **config)
    cli("update_logtail_config", config_detail={**JSON_CONFIG, "inputDetail": {**JSON_CONFIG["inputDetail"], "filePattern": "a.log"}}, **of)
    cli("get_logtail_config", lambda said: said["inputDetail"]["filePattern"] == "a.log", **config)
    cli("list_logtail_config", lambda said: said["configs"] == ["json", "nginx"], **of)
    cli("create_logtail_pipeline_config", config_detail=PIPELINE, **of)
    cli("get_logtail_pipeline_config", lambda said: said["inputs"] == PIPELINE["inputs"], project_name=PROJECT, config_name="pipe")
    cli("list_logtail_pipeline_config", lambda said: said["configs"] == ["pipe"], **of)
    cli("update_logtail_pipeline_config", config_detail=PIPELINE, **of)
    for name in ("json", "nginx"):
        cli("apply_config_to_machine_group", group_name="mg-1", config_name=name, **of)
    cli("get_machine_group_applied_configs", lambda said: said["configs"] == ["json", "nginx"], **group)
    cli("get_config_applied_machine_groups", lambda said: said["machinegroups"] == ["mg-1"], **config)
    cli("remove_config_to_machine_group", group_name="mg-1", **config)
    cli("get_machine_group_applied_configs", lambda said: said["configs"] == ["nginx"], **group)
    cli("delete_logtail_pipeline_config", project_name=PROJECT, config_name="pipe")
    cli("delete_logtail_config", **config)
    cli("get_logtail_config", refused="ConfigNotExist", **config)
    cli("delete_machine_group", **group)
    cli("get_machine_group", refused="MachineGroupNotExist", **group)
    finish(case, "sls-cli-collection", cli)


# --- the ConfigServer protocol, written by hand: an agent is another program than the gateway


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(message):
    """[(number, value)] of a message; a number or bytes each."""
    def number(at):
        value = shift = 0
        while True:
            byte = message[at]
            value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
            if byte < 0x80:
                return value, at

    found, at = [], 0
    while at < len(message):
        tag, at = number(at)
        value, at = number(at)
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        found.append((tag >> 3, value))
    return found


class Agent:
    def __init__(self, gateway, instance, ip, tags=()):
        self.address = f"http://127.0.0.1:{gateway.ports['log service']}/Agent/Heartbeat"
        self.head = field(1, "r") + field(3, 3) + field(4, instance) + field(5, "LoongCollector")
        self.head += field(6, field(1, "3.0") + field(2, ip) + field(3, f"host-{instance}") + field(4, "h"))
        self.head += b"".join(field(7, field(1, name) + field(2, value)) for name, value in tags)
        self.configs = {}  # name: (version, pipeline)

    def beat(self):
        """Sends a heartbeat and does what the answer says; the names it spoke of."""
        body = self.head + b"".join(field(10, field(1, name) + field(2, version) + field(3, 2)) for name, (version, _) in self.configs.items())
        request = urllib.request.Request(self.address, body, {"Content-Type": "application/x-protobuf"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            said = fields(answer.read())
        assert (1, b"r") in said, said
        updates = [dict(fields(value)) for number, value in said if number == 4]
        for update in updates:
            name, version = update[1].decode(), update[2]
            if version == (1 << 64) - 1:
                self.configs.pop(name)
            else:
                self.configs[name] = (version, json.loads(update[3]))
        return sorted(update[1].decode() for update in updates)


def test_an_agent_by_heartbeat(case):
    gateway = case.gateway()
    cli, client = of_project(gateway)
    of = {"project_name": PROJECT}
    cli("create_machine_group", group_detail=GROUP, **of)
    for config in (JSON_CONFIG, NGINX_CONFIG):
        cli("create_logtail_config", config_detail=config, **of)
        cli("apply_config_to_machine_group", group_name="mg-1", config_name=config["configName"], **of)
    agent = Agent(gateway, "agent-1", "10.0.0.7", [("user_defined_id", "nginx-sidecar,more")])
    stranger = Agent(gateway, "agent-2", "10.0.0.8", [("user_defined_id", "nginx")])
    equal("to the first heartbeat", agent.beat(), ["collected$json", "collected$nginx"])
    equal("to the second", agent.beat(), [])
    equal("to a stranger", stranger.beat(), [])
    pipeline = agent.configs["collected$nginx"][1]
    equal("paths", pipeline["inputs"][0]["FilePaths"], ["/var/log/nginx/**/access.log"])
    equal("keys", pipeline["processors"][0]["Keys"], NGINX_CONFIG["inputDetail"]["key"])
    equal("flusher", (pipeline["flushers"][0]["Project"], pipeline["flushers"][0]["Logstore"]), (PROJECT, STORE))
    (machine,) = client.list_machines(PROJECT, "mg-1").get_machines()
    equal("machine", (machine.ip, machine.machine_unique_id, machine.user_defined_id), ("10.0.0.7", "agent-1", "nginx-sidecar,more"))
    assert abs(machine.heartbeat_time - time.time()) < 60, machine.heartbeat_time

    changed = {**NGINX_CONFIG, "inputDetail": {**NGINX_CONFIG["inputDetail"], "filePattern": "other.log"}}
    cli("update_logtail_config", config_detail=changed, **of)
    cli("remove_config_to_machine_group", group_name="mg-1", config_name="json", **of)
    equal("to what changed", agent.beat(), ["collected$json", "collected$nginx"])
    equal("what it has", list(agent.configs), ["collected$nginx"])
    equal("paths", agent.configs["collected$nginx"][1]["inputs"][0]["FilePaths"], ["/var/log/nginx/**/other.log"])
    cli("update_machine_group", group_detail={**GROUP, "machine_list": ["other"]}, **of)
    equal("out of the group", (agent.beat(), list(agent.configs)), (["collected$nginx"], []))
    equal("machines", client.list_machines(PROJECT, "mg-1").get_machine_total(), 0)
    finish(case, "sls-agent", cli)


def test_groups_and_configs_over_kills(case):
    gateway = case.gateway(fixed_ports=True)
    cli, client = of_project(gateway)
    of = {"project_name": PROJECT}
    cli("create_machine_group", group_detail=GROUP, **of)
    cli("create_logtail_config", config_detail=JSON_CONFIG, **of)
    cli("apply_config_to_machine_group", group_name="mg-1", config_name="json", **of)
    agent = Agent(gateway, "agent-1", "10.0.0.7", [("user_defined_id", "nginx-sidecar")])
    equal("before", agent.beat(), ["collected$json"])
    gateway.kill()
    gateway.start()
    equal("applied", client.get_machine_group_applied_configs(PROJECT, "mg-1").get_configs(), ["json"])
    equal("no agent came yet", client.list_machines(PROJECT, "mg-1").get_machine_total(), 0)
    equal("nothing is new to the agent", agent.beat(), [])
    equal("it is listed again", client.list_machines(PROJECT, "mg-1").get_machine_total(), 1)
    finish(case, "sls-collection-kill", cli)
