"""The Python SDK's calls about collection: machine groups, Logtail configs of the five formats, pipeline configs. A part of
sls-python.py, which says how its calls are made."""

from aliyun.log import MachineGroupDetail
from aliyun.log.logtail_config_detail import (
    FullRegFileConfigDetail, JsonFileConfigDetail, PluginConfigDetail, SeperatorFileConfigDetail, SimpleFileConfigDetail, SyslogConfigDetail,
)
from aliyun.log.logtail_pipeline_config_detail import LogtailPipelineConfigDetail

NGINX = r'(\S+) - (\S+) \[([^]]+)] "(\S+) (\S+) [^"]*" (\d+) (\d+) "([^"]*)" "([^"]*)"'
NGINX_KEYS = ["remote_addr", "remote_user", "time_local", "request_method", "request_uri", "status", "body_bytes_sent", "http_referer", "http_user_agent"]


def formats(store):
    """The five, the container's output, and syslog."""
    return {
        "simple": SimpleFileConfigDetail(store, "simple", "/var/log", "messages"),
        "regex": FullRegFileConfigDetail(
            store, "regex", "/var/log/app", "app.log", logSample="2024-01-01 info hello", logBeginRegex=r"\d+-\d+-\d+.*",
            regex=r"(\S+)\s(\w+)\s(.*)", key=["time", "level", "msg"], timeFormat="%Y-%m-%d"),
        "nginx": FullRegFileConfigDetail(
            store, "nginx", "/var/log/nginx", "access.log", logSample="x", logBeginRegex=".*", regex=NGINX, key=NGINX_KEYS,
            timeKey="time_local", timeFormat="%d/%b/%Y:%H:%M:%S", filterKey=["status"], filterRegex=["5.."]),
        "delimiter": SeperatorFileConfigDetail(store, "delimiter", "/var/log", "acc.csv", "a,b,c", ",", ["a", "b", "c"], quote='"'),
        "json": JsonFileConfigDetail(store, "json", "/var/log/app", "*.log", timeKey="time", timeFormat="%Y-%m-%dT%H:%M:%S", maxDepth=3),
        "plugin": PluginConfigDetail(store, "plugin", {"inputs": [{"type": "service_docker_stdout", "detail": {"Stdout": True}}]}),
        "syslog": SyslogConfigDetail(store, "syslog", "tag"),
    }


def pipeline(store, name="pipe", pattern="/var/log/app/*.log"):
    return LogtailPipelineConfigDetail(
        name, [{"Type": "input_file", "FilePaths": [pattern]}], [{"Type": "flusher_sls", "Logstore": store}],
        global_config={"TopicType": "machine_group_topic"}, processors=[{"Type": "processor_parse_json_native", "SourceKey": "content"}],
    )


def collection(call, client, project, store):
    def detail(name):
        return client.get_logtail_config(project, name).logtail_config.value["inputDetail"]

    def group(name, kind="userdefined", members=("web",), topic="t"):
        return MachineGroupDetail(name, kind, list(members), group_attribute={"groupTopic": topic, "externalName": ""})

    def read(name):
        found = client.get_machine_group(project, name).get_machine_group()
        return found.machine_type, found.machine_list, found.group_attribute["groupTopic"]

    call("create_machine_group", lambda: client.create_machine_group(project, group("mg-1")) and None)
    call("create_machine_group, again", lambda: client.create_machine_group(project, group("mg-1")), refused="MachineGroupAlreadyExist")
    call("create_machine_group, bad name", lambda: client.create_machine_group(project, group("MG")), refused="ParameterInvalid")
    call("create_machine_group, bad type", lambda: client.create_machine_group(project, group("mg-x", "mac")), refused="ParameterInvalid")
    call("create_machine_group, ip", lambda: client.create_machine_group(project, group("mg-2", "ip", ["10.0.0.1", "10.0.0.2"])) and None)
    call("get_machine_group", lambda: read("mg-1"), ("userdefined", ["web"], "t"))
    call("get_machine_group, none", lambda: read("none"), refused="MachineGroupNotExist")
    call("update_machine_group", lambda: client.update_machine_group(project, group("mg-1", members=["web", "db"], topic="u")) and None)
    call("  read back", lambda: read("mg-1"), ("userdefined", ["web", "db"], "u"))
    call("update_machine_group, none", lambda: client.update_machine_group(project, group("none")), refused="MachineGroupNotExist")
    call("list_machine_group", lambda: client.list_machine_group(project).get_machine_group(), ["mg-1", "mg-2"])
    call("list_machine_group, paged", lambda: client.list_machine_group(project, 1, 1).get_machine_group(), ["mg-2"])
    call("list_machines, ip", lambda: [(m.ip, m.heartbeat_time) for m in client.list_machines(project, "mg-2").get_machines()],
         [("10.0.0.1", 0), ("10.0.0.2", 0)])
    call("list_machines, userdefined", lambda: client.list_machines(project, "mg-1").get_machine_total(), 0)

    configs = formats(store)
    for name, config in configs.items():
        sent = config.to_json()["inputDetail"]
        call(f"create_logtail_config {name}", lambda: client.create_logtail_config(project, config) and None)
        call("  read back", lambda: detail(name), lambda got: all(got[key] == value for key, value in sent.items()))
    call("  defaults", lambda: [detail("json")[key] for key in ("maxDepth", "fileEncoding", "discardUnmatch", "advanced")],
         [3, "utf8", True, {"force_multiconfig": False}])
    call("create_logtail_config, again", lambda: client.create_logtail_config(project, configs["json"]), refused="ConfigAlreadyExist")
    wrong = SimpleFileConfigDetail(store, "wrong", "var/log", "messages")
    call("create_logtail_config, relative path", lambda: client.create_logtail_config(project, wrong), refused="ParameterInvalid")
    nowhere = SimpleFileConfigDetail("no-such-store", "wrong", "/var/log", "messages")
    call("create_logtail_config, no logstore", lambda: client.create_logtail_config(project, nowhere), refused="LogStoreNotExist")

    def update():
        config = client.get_logtail_config(project, "json").logtail_config
        config.value["inputDetail"]["filePattern"] = "other.log"
        client.update_logtail_config(project, config)

    call("update_logtail_config, of what was got", update)
    call("  read back", lambda: detail("json")["filePattern"], "other.log")
    call("list_logtail_config", lambda: client.list_logtail_config(project).get_configs(), sorted(configs))
    call("list_logtail_config, by name", lambda: client.list_logtail_config(project, config="s").get_configs(),
         ["json", "simple", "syslog"])
    call("list_logtail_config, other logstore", lambda: client.list_logtail_config(project, "other").get_configs(), [])
    call("get_logtail_config, none", lambda: detail("none"), refused="ConfigNotExist")

    call("create_logtail_pipeline_config", lambda: client.create_logtail_pipeline_config(project, pipeline(store)) and None)
    taken = pipeline(store, "json")
    call("create_logtail_pipeline_config, taken name", lambda: client.create_logtail_pipeline_config(project, taken), refused="ConfigAlreadyExist")
    two = LogtailPipelineConfigDetail("two", [{"Type": "input_file"}] * 2, [])
    call("create_logtail_pipeline_config, two inputs", lambda: client.create_logtail_pipeline_config(project, two), refused="ParameterInvalid")

    def paths():
        return client.get_logtail_pipeline_config(project, "pipe").pipeline_config.inputs[0]["FilePaths"]

    call("get_logtail_pipeline_config", paths, ["/var/log/app/*.log"])
    changed = pipeline(store, pattern="/srv/*.log")
    call("update_logtail_pipeline_config", lambda: client.update_logtail_pipeline_config(project, changed) and None)
    call("  read back", paths, ["/srv/*.log"])
    call("list_logtail_pipeline_config", lambda: client.list_logtail_pipeline_config(project).configs, ["pipe"])
    call("get_logtail_config of a pipeline", lambda: detail("pipe"), refused="ParameterInvalid")

    for name in ("json", "pipe", "json"):
        call(f"apply_config_to_machine_group {name}", lambda: client.apply_config_to_machine_group(project, name, "mg-1") and None)
    call("apply_config_to_machine_group, none", lambda: client.apply_config_to_machine_group(project, "none", "mg-1"), refused="ConfigNotExist")
    call("apply_config_to_machine_group, no group", lambda: client.apply_config_to_machine_group(project, "json", "none"),
         refused="MachineGroupNotExist")
    applied = lambda: client.get_machine_group_applied_configs(project, "mg-1").get_configs()
    call("get_machine_group_applied_configs", applied, ["json", "pipe"])
    call("get_config_applied_machine_groups", lambda: client.get_config_applied_machine_groups(project, "pipe").get_machine_groups(), ["mg-1"])
    call("remove_config_to_machine_group", lambda: client.remove_config_to_machine_group(project, "json", "mg-1") and None)
    call("  read back", applied, ["pipe"])
    call("delete_logtail_pipeline_config", lambda: client.delete_logtail_pipeline_config(project, "pipe") and None)
    call("  applied nowhere", applied, [])
    call("delete_logtail_config", lambda: client.delete_logtail_config(project, "json") and None)
    call("delete_logtail_config, again", lambda: client.delete_logtail_config(project, "json"), refused="ConfigNotExist")
    call("delete_machine_group", lambda: client.delete_machine_group(project, "mg-1") and None)
    call("delete_machine_group, again", lambda: client.delete_machine_group(project, "mg-1"), refused="MachineGroupNotExist")
