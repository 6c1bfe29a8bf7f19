"""What the image promises: small, nobody's root, healthy by its own word, names resolved, and nothing written but data."""

import json
import pathlib
import subprocess
import sys

from harness.image import IMAGE, PROBE, RESTRICTED, ROOT, SLUICEGATE, USER, Container, shared_directory
from harness.image import around  # the runner takes it from here
from harness.wait import equal, wait_until

PEERS = ["debian"]
MOST_BYTES = 25_000_000
READY = "status", "--operations"


def test_contents(case, engine):
    """A loader, a few libraries, certificates, and who may run it."""
    image = json.loads(engine.docker("image", "inspect", IMAGE).stdout)[0]
    print(f"        {image['Size'] / 1e6:.1f} MB")
    equal("small enough", image["Size"] < MOST_BYTES, True)
    equal("user", image["Config"]["User"], f"{USER}:{USER}")
    equal("health check is no shell's", image["Config"]["Healthcheck"]["Test"], ["CMD", PROBE, "status"])
    container = Container(case, engine)
    engine.docker("cp", f"{container.id}:/etc", str(case.directory / "etc"))
    certificates = (case.directory / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE")
    equal("certificates of Debian's bundle", certificates > 100, True)
    equal("the probe's name", (case.directory / "etc/init.d/ilogtaild").readlink(), pathlib.Path(SLUICEGATE))
    equal("no shell", container.exec("/bin/sh", "-c", "true").returncode != 0, True)


def test_dockerfiles_agree(case, engine):
    """docker/build does by hand what the first stage of the Dockerfile does."""
    lines = (ROOT / "docker" / "Dockerfile").read_text().splitlines()
    copies = [line.split()[-2] for line in lines if line.startswith("COPY --from=build")]
    equal("what the image is made of", copies, ["/rootfs/", "/data/"])
    for path in ("docker/rootfs", "docker/image.yaml"):
        equal(f"{path} is used by the Dockerfile", any(path in line for line in lines), True)


def test_runs_as_nobody_and_becomes_healthy(case, engine):
    container = Container(case, engine, "--health-interval=1s")
    wait_until("healthy", lambda: container.inspect("Health.Status") == "healthy", 30, 0.2)
    status = pathlib.Path(f"/proc/{container.inspect('Pid')}/status").read_text()
    users = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    equal("user ids", users, [str(USER)] * 4)
    container.signal("TERM")
    equal("exit code after SIGTERM", container.ended(), 0)


def writes_nothing_but(case, engine, data):
    container = Container(case, engine, *RESTRICTED, data).wait_until_ready()
    container.sluicegate("send", "--tag", "demo", '{"log":"from a read-only place"}')
    equal("records", [record["log"] for record in container.query("read-only")], ["from a read-only place"])


def test_writes_nothing_but_data_in_memory(case, engine):
    writes_nothing_but(case, engine, f"--tmpfs=/var/lib/sluicegate:uid={USER},gid={USER}")


def test_writes_nothing_but_data_in_a_directory_of_root(case, engine):
    """As in a Pod: an emptyDir is root's, and everyone may write into it."""
    writes_nothing_but(case, engine, f"--volume={shared_directory(case, 'data')}:/var/lib/sluicegate")


def test_volume_is_the_users(case, engine):
    """A fresh volume belongs to the user, and what is in it outlives the container."""
    engine.docker("volume", "create", "kept")
    first = Container(case, engine, "--volume=kept:/var/lib/sluicegate").wait_until_ready()
    first.sluicegate("send", "--tag", "demo", '{"log":"kept"}')
    equal("records", len(first.query("kept")), 1)
    first.signal("TERM")
    equal("exit code after SIGTERM", first.ended(), 0)
    second = Container(case, engine, "--volume=kept:/var/lib/sluicegate").wait_until_ready()
    equal("records of the container before", len(second.query("kept")), 1)


def test_mounted_configuration_replaces_ours(case, engine):
    """No port of our own example stays open beside what a user has configured."""
    directory = shared_directory(case, "etc")
    (directory / "sluicegate.yaml").write_text("inputs: { syslog: { listen: 127.0.0.1:5140 } }\n")
    container = Container(case, engine, f"--volume={directory}:/etc/sluicegate:ro").wait_until_ready()
    inputs = json.loads(container.sluicegate("status", "--json"))["inputs"]
    equal("inputs", {entry["name"] for entry in inputs}, {"syslog"})


# --- names


def test_names_of_the_hosts_file(case, engine):
    container = Container(case, engine, "--add-host=gateway.example:127.0.0.1").wait_until_ready()
    container.sluicegate(*READY, "localhost:24290")
    container.sluicegate(*READY, "gateway.example:24290")
    unknown = container.exec(SLUICEGATE, *READY, "nobody.example:24290")
    equal("a name that nobody has", unknown.returncode, 1)


def test_names_by_dns(case, engine):
    resolv = case.directory / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    container = Container(case, engine, f"--volume={resolv}:/etc/resolv.conf:ro").wait_until_ready()
    equal("before there is a name server", container.exec(SLUICEGATE, *READY, "gateway.example:24290").returncode, 1)
    namespace = f"--net=/proc/{container.inspect('Pid')}/ns/net"
    server = subprocess.Popen(
        ["nsenter", namespace, sys.executable, "-m", "harness.name_server", "gateway.example", "127.0.0.1"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT / "compat",
    )
    case.defer(lambda: (server.kill(), server.wait(10)))
    equal("the name server", server.stdout.readline(), b"listens\n")
    container.sluicegate(*READY, "gateway.example:24290")
    equal("a name that nobody has", container.exec(SLUICEGATE, *READY, "nobody.example:24290").returncode, 1)


# --- the program under its other names


def test_probe_made_for_logtail(case, engine):
    container = Container(case, engine).wait_until_ready()

    def probe(action="status", of=container.exec):
        done = of(PROBE, action)
        return done.returncode, done.stdout.strip()

    equal("a gateway that runs", probe(), (0, "ilogtail is running"))
    equal("what is not done here", [probe(action)[0] for action in ("start", "stop", "restart", "")], [3] * 4)

    def alone(entry, action):
        return engine.docker("run", "--rm", "--network=none", f"--entrypoint={entry}", IMAGE, action, check=False)

    equal("no gateway there", probe(of=alone), (1, "ilogtail is not running"))
    elsewhere = Container(case, engine, "--env=SLUICEGATE__OPERATIONS__LISTEN=0.0.0.0:9000")
    wait_until("the port of the environment", lambda: probe(of=elsewhere.exec) == (0, "ilogtail is running"), 30, 0.2)


def test_probe_of_a_gateway_that_does_not_answer(case, engine):
    container = Container(case, engine).wait_until_ready()
    container.signal("STOP")
    try:
        done = container.exec(PROBE, "status")
        equal("exit code and words", (done.returncode, done.stdout.strip()), (2, "ilogtail is not running"))
    finally:
        container.signal("CONT")


def demo(engine, *flags):
    return engine.docker("run", "--rm", "--network=none", IMAGE, "demo-log", "--stdout", *flags)


def test_demo_log(case, engine):
    lines = demo(engine, "--total-count=20", "--logs-per-sec=0", "--seed=7").stdout.splitlines()
    equal("numbers", [line.split("seq=")[1].split(" ")[0] for line in lines], [str(n) for n in range(1, 21)])
    lines = demo(engine, "--log-type", "json", "--total-count", "3", "--logs-per-sec", "100").stdout.splitlines()
    equal("numbers of JSON", [json.loads(line)["seq"] for line in lines], [1, 2, 3])


def test_demo_log_ends_behind_a_whole_line(case, engine):
    """Process 1 of its container, at full speed: SIGTERM ends it, and its file ends with a line feed."""
    mount = shared_directory(case, "mnt")
    flags = ["--log-type=random", "--path=/mnt/demo.log", "--logs-per-sec=0"]
    container = Container(case, engine, f"--volume={mount}:/mnt", arguments=["demo-log", *flags])
    wait_until("it writes", lambda: (mount / "demo.log").stat().st_size > 1_000_000)
    container.signal("TERM")
    equal("exit code", container.ended(), 0)
    data = (mount / "demo.log").read_bytes()
    equal("the last byte", data[-1:], b"\n")
    last = int(data.splitlines()[-1].split(b" ")[0].removeprefix(b"seq="))
    equal("lines up to the last one's number", data.count(b"\n"), last)
