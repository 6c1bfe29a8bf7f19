"""Logtail's sidecar demo with this gateway: an application in one container writes a log into a shared volume, the gateway in
another reads it, with the configuration and the environment of docker/kubernetes/job-sidecar.yaml.

The application's file is on the machine under test as well, so that every test ends by comparing what was collected with it.
"""

import datetime
import re

import yaml
from harness.fake_service import FakeService
from harness.gateway import free_port, merged
from harness.image import PROBE, RESTRICTED, ROOT, SLUICEGATE, Container, shared_directory
from harness.image import around  # the runner takes it from here
from harness.wait import equal, wait_until

PEERS = ["debian", "python"]
TIME_LIMIT = 240

NUMBER = re.compile(r"[?]seq=(\d+)")
TIME = re.compile(r"\[(.*?)\]")
MINUTE = 60
# What the downward API would say.
POD = {
    "_pod_name_": "nginx-log-sidecar-demo-x7k2p", "_pod_ip_": "10.0.0.7", "_namespace_": "kube-system", "_node_name_": "node-1",
    "_node_ip_": "10.0.0.1",
}


def demo_manifest():
    documents = yaml.safe_load_all((ROOT / "docker" / "kubernetes" / "job-sidecar.yaml").read_text())
    found = {document["kind"]: document for document in documents}
    pod = found["Job"]["spec"]["template"]["spec"]
    containers = {container["name"]: container for container in pod["initContainers"] + pod["containers"]}
    return yaml.safe_load(found["ConfigMap"]["data"]["sluicegate.yaml"]), containers


class Pod:
    """The two containers of the demo and what they share. `settings` are laid on the demo's configuration."""

    def __init__(self, case, engine, settings=None, network="none"):
        self.case, self.engine, self.network = case, engine, network
        self.configuration, self.containers = demo_manifest()
        self.logs, self.data, etc = (shared_directory(case, name) for name in ("logs", "data", "etc"))
        (etc / "sluicegate.yaml").write_text(yaml.safe_dump(merged(self.configuration, settings or {})))
        self.etc, self.log = etc, self.logs / "access.log"

    def application(self, **flags):
        """The demo's generator; flags replace those of the manifest."""
        given = dict(flag.removeprefix("--").split("=") for flag in self.containers["nginx-log-demo"]["args"][1:])
        given |= {name.replace("_", "-"): value for name, value in flags.items()}
        arguments = ["demo-log", *(f"--{name}={value}" for name, value in given.items())]
        return Container(self.case, self.engine, *RESTRICTED, f"--volume={self.logs}:/var/log/nginx", arguments=arguments)

    def sidecar(self, logs=None, operations="127.0.0.1:24290"):
        """The gateway, which may only read the shared volume."""
        told = {entry["name"]: entry.get("value") or POD[entry["name"]] for entry in self.containers["sluicegate"]["env"]}
        told["SLUICEGATE__OPERATIONS__LISTEN"] = operations
        variables = [f"--env={name}={value}" for name, value in told.items()]
        mounts = [
            f"--volume={logs or self.logs}:/var/log/nginx:ro", f"--volume={self.etc}:/etc/sluicegate:ro",
            f"--volume={self.data}:/var/lib/sluicegate",
        ]
        container = Container(self.case, self.engine, *RESTRICTED, *mounts, *variables, network=self.network)
        return container.wait_until_ready(operations)

    def written(self):
        """The numbers of the lines in the application's file."""
        return [int(number) for number in NUMBER.findall(self.log.read_text())]


def numbers(records):
    """Of records as the processors of the demo leave them."""
    return [int(NUMBER.search(record["request_uri"])[1]) for record in records]


def same_lines(what, got, written):
    equal(f"{what}: lost", sorted(set(written) - set(got))[:10], [])
    equal(f"{what}: lines", sorted(got), written)


# --- the demo


def test_lines_can_be_queried_within_a_minute(case, engine):
    pod = Pod(case, engine)
    sidecar, application = pod.sidecar(), pod.application()
    wait_until("lines of the application", lambda: len(sidecar.query(limit=100)) == 100, MINUTE, 0.5)
    record = sidecar.query(limit=1)[0]
    wanted = ["remote_addr", "remote_user", "request_method", "request_uri", "request_time", "request_length", "status",
              "body_bytes_sent", "http_referer", "http_user_agent"]
    equal("fields that are missing", [key for key in wanted if key not in record], [])
    tags = {"__path__": "/var/log/nginx/access.log", "__user_defined_id__": "nginx-log-sidecar", **POD}
    equal("tags", {key: record.get(f"__tag__:{key}") for key in tags}, tags)
    equal("the hostname is a tag", "__tag__:__hostname__" in record, True)
    equal("the text is parsed, not kept", "log" in record, False)
    equal("lines of status 502", {found["status"] for found in sidecar.query("status: 502", limit=10)}, {"502"})
    probe = sidecar.exec(PROBE, "status")
    equal("Logtail's probe", (probe.returncode, probe.stdout.strip()), (0, "ilogtail is running"))
    equal("the application wrote to standard error, too", "?seq=1 " in application.said(), True)


def test_status_names_the_files(case, engine):
    pod = Pod(case, engine)
    sidecar, application = pod.sidecar(), pod.application(total_count=10)
    equal("exit code of the application", application.ended(), 0)
    wait_until("its lines", lambda: len(sidecar.query()) == 10, MINUTE, 0.5)
    equal("status --files names it", "/var/log/nginx/access.log" in sidecar.sluicegate("status", "--files"), True)


def test_times_are_the_lines_own(case, engine):
    """The sidecar comes later; what it reads has the time that the line says."""
    pod = Pod(case, engine)
    application = pod.application(total_count=50, logs_per_sec=0)
    equal("exit code of the application", application.ended(), 0)
    stamp = datetime.datetime.strptime(TIME.search(pod.log.read_text())[1], "%d/%b/%Y:%H:%M:%S %z")
    sidecar = pod.sidecar()
    wait_until("its lines", lambda: len(sidecar.query()) == 50, MINUTE, 0.5)
    first = min(sidecar.query(), key=lambda record: numbers([record]))
    equal("time of the first", int(first["__time__"]), int(stamp.timestamp()))


# --- the end of the Pod


def test_last_lines_are_stored_when_both_are_told_to_end(case, engine):
    """As before Kubernetes 1.29: both get SIGTERM at once; the sidecar waits a while for what the application still writes.
    Afterwards the store is asked where the application's file is away, so that nothing can be read belatedly."""
    pod = Pod(case, engine, {"inputs": {"nginx": {"stop_delay": "2s"}}})
    sidecar, application = pod.sidecar(), pod.application(logs_per_sec=2000, stderr="false")
    wait_until("lines of the application", lambda: len(sidecar.query(limit=1000)) == 1000, MINUTE, 0.5)
    engine.docker("kill", "--signal=TERM", sidecar.id, application.id)
    equal("exit codes", (application.ended(), sidecar.ended()), (0, 0))
    after = pod.sidecar(logs=shared_directory(case, "empty"))
    same_lines("after both have ended", numbers(after.query()), pod.written())


def test_last_lines_are_stored_when_the_application_ends_first(case, engine):
    """As Kubernetes stops sidecars of its own kind: no delay is needed."""
    pod = Pod(case, engine)
    sidecar, application = pod.sidecar(), pod.application(logs_per_sec=2000, stderr="false")
    wait_until("lines of the application", lambda: len(sidecar.query(limit=1000)) == 1000, MINUTE, 0.5)
    for container in (application, sidecar):
        container.signal("TERM")
        equal("exit code", container.ended(), 0)
    after = pod.sidecar(logs=shared_directory(case, "empty"))
    same_lines("after both have ended", numbers(after.query()), pod.written())


# --- kills


def test_kill_again_and_again(case, engine):
    """The container is killed and started again, as the kubelet does with a sidecar; the service knows a LogGroup that comes
    twice by its pack_id, so that what it has is what was read."""
    service = FakeService().up()
    case.defer(service.close)
    settings = {
        "destinations": {"cloud": service.destination(batch_age="100ms", logstore="nginx-access")},
        "default_destination": "cloud", "log_service": {"enabled": False, "logstore": None},
    }
    pod = Pod(case, engine, settings, network="host")
    sidecar = pod.sidecar(operations=f"127.0.0.1:{free_port()}")
    application = pod.application(logs_per_sec=3000, stderr="false")
    rounds = case.size(5, 50)
    for number in range(rounds):
        seen = len(service.once())
        wait_until(f"lines after kill {number}", lambda before=seen: len(service.once()) > before + 500, MINUTE, 0.05)
        sidecar.signal("KILL")
        equal("exit code of a killed one", sidecar.ended(), 137)
        sidecar.start()
    application.signal("TERM")
    equal("exit code of the application", application.ended(), 0)
    written = pod.written()
    wait_until("the last lines", lambda: len(service.once()) >= len(written), MINUTE, 0.2)
    sidecar.signal("TERM")
    equal("exit code of the sidecar", sidecar.ended(), 0)
    found = service.once()
    same_lines(f"after {rounds} kills", numbers(found), written)
    equal("complaints of the service", service.complaints, [])
    print(f"        {len(written)} lines over {rounds} kills; {sum(len(group.Logs) for _, group in service.groups)} were sent")
