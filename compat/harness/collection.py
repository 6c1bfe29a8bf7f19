"""What the suites of collection share: an operator with the official CLI, and agents that machine groups know by an id."""

import json
import time

from .log_service import LogService
from .wait import wait_until

MINUTE = 60  # what is applied is collected within one


class Operator:
    """Someone with the CLI, who has a project in the embedded Log Service of a gateway."""

    def __init__(self, cli, gateway, project):
        self.cli, self.gateway, self.of = cli, gateway, {"project_name": project}
        self.logs = LogService(gateway.ports["log service"], *gateway.access_key(), project)
        self("create_project", project_des="", **self.of)

    def __call__(self, command, **arguments):
        said = self.cli(command, **arguments)
        wrong = self.cli.calls[-1]["wrong"]
        assert wrong is None, f"{command}: {wrong}"
        return said

    def logstore(self, name):
        self("create_logstore", logstore_name=name, ttl=7, shard_count=1, **self.of)
        index = {"line": {"token": [",", " ", "?", "="], "caseSensitive": False}}
        self("create_index", logstore_name=name, index_detail=index, **self.of)

    def group(self, name, *members, kind="userdefined", action="create"):
        detail = {"group_name": name, "machine_type": kind, "machine_list": members, "group_type": "",
                  "group_attribute": {"externalName": "", "groupTopic": ""}}
        self(f"{action}_machine_group", group_detail=detail, **self.of)

    def config(self, detail, action="create"):
        self(f"{action}_logtail_config", config_detail=detail, **self.of)

    def apply(self, config, group):
        self("apply_config_to_machine_group", config_name=config, group_name=group, **self.of)

    def remove(self, config, group):
        self("remove_config_to_machine_group", config_name=config, group_name=group, **self.of)

    def machines(self, group):
        """The first hundred, and how many there are."""
        found = self.logs.client.list_machines(self.logs.project, group, 0, 100)
        return found.get_machines(), found.get_machine_total()

    def destination(self):
        """As an agent's `collection.destination`."""
        key_id, secret = self.gateway.access_key()
        return {
            "endpoint": f"http://127.0.0.1:{self.gateway.ports['log service']}", "access_key_id": key_id, "access_key_secret": secret,
            "project": self.logs.project,
        }

    def agent(self, case, name, ids=(), wrapper=(), start=True, collection=None, **config):
        """A gateway that has no inputs but those that its machine groups give it."""
        port = self.gateway.ports["log service"]
        asks = {"destination": self.destination(), "machine_groups": True, "config_server": f"http://127.0.0.1:{port}", **(collection or {})}
        told = {
            "inputs": {"forward": None}, "log_service": {"enabled": False, "listen": None}, "collection": asks,
            "agent": {"user_defined_ids": list(ids)} if ids else {}, **config,
        }
        return case.gateway(told, name=name, wrapper=wrapper, start=start)


def plain_lines(name, directory, pattern, logstore, **detail):
    """A Logtail config of lines as they are."""
    inner = {"logType": "common_reg_log", "logPath": str(directory), "filePattern": pattern, "maxDepth": 0, "regex": "(.*)",
             "key": ["content"], "logBeginRegex": ".*", "timeFormat": "", "topicFormat": "none", "localStorage": True, **detail}
    return {"configName": name, "inputType": "file", "outputType": "LogService", "outputDetail": {"logstoreName": logstore},
            "logSample": "", "inputDetail": inner}


def collected(status):
    """Of the text of `/status` or `status --json`: id of each configuration -> state."""
    return {config["id"]: config["state"] for config in json.loads(status)["collection"]["configs"]}


def seconds_until(what, condition, timeout=MINUTE, every=0.1):
    began = time.monotonic()
    wait_until(what, condition, timeout, every)
    return time.monotonic() - began
