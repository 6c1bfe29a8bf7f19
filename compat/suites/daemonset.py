"""docker/kubernetes/daemonset.yaml on a node that is a directory: its configuration, and no more rights than it has there.

The Pods' logs are laid out as the kubelet does and belong to somebody else, who lets nobody read them.
"""

import os

import yaml
from harness.fake_service import FakeService
from harness.gateway import free_port
from harness.image import RESTRICTED, ROOT, Container, shared_directory
from harness.image import around  # the runner takes it from here
from harness.wait import equal, wait_until

PEERS = ["debian", "python"]

OWNER = 1000
UID = "3f2b7c1e-8a44-4c55-9d3a-1f0e6b7a9c21"
FIELDS = {"NODE_NAME": "node-1", "NODE_IP": "10.0.0.1"}


def manifest():
    """(configuration, security context of the container)"""
    documents = yaml.safe_load_all((ROOT / "docker" / "kubernetes" / "daemonset.yaml").read_text())
    found = {document["kind"]: document for document in documents}
    (container,) = found["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return yaml.safe_load(found["ConfigMap"]["data"]["sluicegate.yaml"]), container["securityContext"]


class Node:
    def __init__(self, case, engine):
        self.case, self.engine = case, engine
        self.log, self.data, self.etc = (shared_directory(case, name) for name in ("log", "data", "etc"))
        self.service = FakeService().up()
        case.defer(self.service.close)
        configuration, self.security = manifest()
        # There is no API server here, and the Log Service is another one.
        del configuration["inputs"]["pods"]["kubernetes"]["api"]
        del configuration["collection"]
        tags = configuration["destinations"]["cloud"]["tags"]
        configuration["destinations"]["cloud"] = self.service.destination(batch_age="100ms", tags=tags)
        (self.etc / "sluicegate.yaml").write_text(yaml.safe_dump(configuration))

    def gateway(self):
        operations = f"127.0.0.1:{free_port()}"
        capabilities = [f"--cap-add={name}" for name in self.security["capabilities"]["add"]]
        container = Container(
            self.case, self.engine, *RESTRICTED, *capabilities, f"--user={self.security['runAsUser']}:{self.security['runAsGroup']}",
            f"--volume={self.log}:/var/log:ro", f"--volume={self.etc}:/etc/sluicegate:ro", f"--volume={self.data}:/var/lib/sluicegate",
            f"--env=SLUICEGATE__OPERATIONS__LISTEN={operations}", *(f"--env={name}={value}" for name, value in FIELDS.items()),
            network="host",
        )
        return container.wait_until_ready(operations)

    def write(self, pod, *texts, container="nginx", name="0.log"):
        """Appends lines as containerd writes them: `out ...` or `err ...`, a part of a line where it ends with an ellipsis."""
        directory = self.log / "pods" / pod / container
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / name, "a") as file:
            for text in texts:
                stream, _, rest = text.partition(" ")
                mark = "P" if rest.endswith("...") else "F"
                file.write(f"2026-11-23T10:24:54.031234567Z std{stream} {mark} {rest.removesuffix('...')}\n")
        for path in (directory / name, directory, directory.parent):
            os.chown(path, OWNER, OWNER)
            path.chmod(0o700 if path.is_dir() else 0o600)
        return directory / name

    def lines(self):
        return sorted(f"{record['source'].removeprefix('std')} {record['log']}" for record in self.service.once())

    def holds(self, *wanted):
        wait_until(f"{len(wanted)} lines", lambda: len(self.service.once()) >= len(wanted))
        equal("lines", self.lines(), sorted(wanted))


def test_reads_what_others_own(case, engine):
    """Pods that are there and that come, long lines, a rotation as the kubelet makes it, a restart."""
    node, web = Node(case, engine), f"shop_web-0_{UID}"
    before = node.write(web, "out one", "err two", "out three has...", "out  two pieces")
    # what it says itself is not collected
    node.write(f"sluicegate_sluicegate-x7k2p_{UID}", "err about itself", container="sluicegate")
    gateway = node.gateway()
    lines = ["out one", "err two", "out three has two pieces"]
    node.holds(*lines)
    before.rename(before.with_name("0.log.20261123-102500"))
    node.write(web, "out four")
    node.write(f"team-a_job-1_{UID}", "out another Pod", container="main")
    lines += ["out four", "out another Pod"]
    node.holds(*lines)
    gateway.signal("KILL")
    equal("exit code of a killed one", gateway.ended(), 137)
    node.write(web, "out five")
    gateway.start()
    node.holds(*lines, "out five")
    equal("complaints of the service", node.service.complaints, [])


def test_says_which_pod(case, engine):
    node = Node(case, engine)
    node.write(f"shop_web-0_{UID}", "out one")
    node.gateway()
    node.holds("out one")
    ((_, group),) = node.service.groups
    tags = {tag.Key: tag.Value for tag in group.LogTags}
    wanted = {
        "_namespace_": "shop", "_pod_name_": "web-0", "_pod_uid_": UID, "_container_name_": "nginx", "_node_name_": "node-1",
        "_node_ip_": "10.0.0.1", "__path__": f"/var/log/pods/shop_web-0_{UID}/nginx/0.log",
    }
    equal("tags", {key: tags.get(key) for key in wanted}, wanted)
