"""The Docker logging plugin: `docker run --log-driver=NAME`, by its socket and as a managed plugin.

Facts about the engine that these tests lean on: it looks for plugins in one place of the host, whatever its own directories
are, so that each test has a name of its own; it says once that a container writes, never again, and keeps what a FIFO holds
while nobody reads; a call that finds nobody is tried again for about 15 s, then the container is refused, or its end is
reported without the plugin; what a container wrote by then is in its FIFO and stays there.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from harness.delivery import BURST, LONG_EVERY, table
from harness.docker import IMAGE
from harness.docker import around as around_engine
from harness.gateway import free_port
from harness.wait import equal, wait_until
from harness.writers import Writers, cloud, lossless

PEERS = ["debian"]
TIME_LIMIT = 240

SOCKETS = pathlib.Path("/run/docker/plugins")
drops_empty = marks_bytes = False  # the FIFO carries every byte; this module is its row of a table
SELF = sys.modules[__name__]
SHORT, LONG = 2_000, 12_500


@contextlib.contextmanager
def around(case):
    with around_engine(case, live_restore=True) as engine:
        yield engine
    if ROWS:
        print("\n".join(f"        {line}" for line in table("docker_plugin", ROWS)))


ROWS = []


class Plugin:
    """A gateway that is a log driver of a name of its own."""

    def __init__(self, case, config=None, start=True, **settings):
        self.name = f"sg-{os.getpid()}-{case.name.rpartition('_')[2]}-{time.time_ns() % 10**6}"
        self.socket = SOCKETS / f"{self.name}.sock"
        SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
        case.defer(lambda: self.socket.unlink(missing_ok=True))
        inputs = {"forward": None, "docker_plugin": {"type": "docker_plugin", "socket": str(self.socket), "join_timeout": "1h", **settings}}
        self.gateway = case.gateway({"inputs": inputs, **(config or {})}, fixed_ports=True, start=start)

    def run(self, engine, script, *options, wait=True, name=None, mount=None, **log_options):
        return engine.launch(self.name, log_options, script, *options, name=name, mount=mount, wait=wait)

    def records(self, container, count, logstore="default"):
        logs, query = self.gateway.log_service(), f'container_id: "{container}"'
        wait_until(f"{count} records of {container[:12]}", lambda: logs.holds(count, query, logstore), 30, 0.1)
        found = logs.search(query, logstore)
        equal(f"records of {container[:12]}", (len(found), doubled(found)), (count, []))
        return found

    def fifos_read(self):
        return self.gateway.metric("sluicegate_docker_plugin_containers")


def doubled(records):
    """What came twice with the same time."""
    seen = collections.Counter((record["__time__"], record.get("__time_ns_part__"), record["log"]) for record in records)
    return [each for each, count in seen.items() if count > 1][:5]


def lines(records):
    """Their texts, in order."""
    return [record["log"] for record in records]


# --- records and options


def test_one_shape(case, engine):
    plugin = Plugin(case)
    began = time.time()
    container = plugin.run(engine, "echo out; echo; printf 'caf\\303\\251 \\t \"q\" \\\\ end  \\r\\n'; sleep 0.1; echo err >&2", name="web-1")
    found = plugin.records(container, 4)
    equal("lines", lines(found), ["out", "", 'café \t "q" \\ end  \r', "err"])
    equal("streams", [r["source"] for r in found], ["stdout"] * 3 + ["stderr"])
    for record in found:
        names = [key for key in record if not key.startswith("__")]
        equal("fields", sorted(names), ["container_id", "container_name", "image_name", "log", "source"])
        equal("container_id", record["container_id"], container)
        equal("container_name", record["container_name"], "web-1")
        equal("image_name", record["image_name"], IMAGE)
        equal("topic is the tag", record["__topic__"], "docker.web-1")
        at = record["__time__"] + int(record["__time_ns_part__"]) / 1e9
        if not began - 1 <= at <= time.time():
            raise AssertionError(f"time {at} is not the line's")
    wait_until("the container's state is gone", lambda: plugin.fifos_read() == 0)


def test_bytes_that_are_no_text(case, engine):
    plugin = Plugin(case)
    container = plugin.run(engine, r"printf 'a\377\376b\n'; printf 'nul\000!\n'")
    equal("NUL stays, invalid UTF-8 is marked", lines(plugin.records(container, 2)), ["a\ufffd\ufffdb", "nul\0!"])
    kept = subprocess.run(["docker", f"--host={engine.host}", "logs", container], capture_output=True, check=True).stdout
    equal("docker logs has every byte", kept, b"a\xff\xfeb\nnul\0!\n")


def test_options(case, engine):
    plugin = Plugin(case)
    container = plugin.run(
        engine, "echo shipped", "--label=team=core", "--label=com.example.svc=web", "--env=APP_ENV=prod", "--env=REGION=x", name="opts",
        **{"logstore": "shop", "topic": "till", "labels": "team,missing", "labels-regex": "^com\\.", "env": "APP_ENV", "mode": "non-blocking"},
    )
    (record,) = plugin.records(container, 1, "shop")
    got = {key: record.get(key) for key in ("log", "__topic__", "team", "missing", "com.example.svc", "APP_ENV", "REGION")}
    want = {
        "log": "shipped", "__topic__": "till", "team": "core", "missing": None, "com.example.svc": "web", "APP_ENV": "prod",
        "REGION": None,
    }
    equal("what the options ask for", got, want)


def test_tags(case, engine):
    plugin = Plugin(case, {"routes": [{"match": "app.**", "topic": "${tag}"}]})
    templates = {
        "app.{{.Name}}": lambda container, name: f"app.{name}",
        "app.{{.ID}}": lambda container, name: f"app.{container[:12]}",
        "app.{{.FullID}}.{{.ImageName}}.{{.DaemonName}}": lambda container, name: f"app.{container}.{IMAGE}.docker",
    }
    for number, (template, tag) in enumerate(templates.items()):
        container = plugin.run(engine, "echo tagged", name=f"tag-{number}", tag=template)
        equal(template, plugin.records(container, 1)[0]["__topic__"], tag(container, f"tag-{number}"))


def test_refusals(case, engine):
    plugin = Plugin(case)
    for options, said in (
        ({"no-such-option": "1"}, 'unknown log option "no-such-option"; known are tag, labels,'),
        ({"logstore": "Not A Name"}, "no name of a logstore"),
        ({"tag": "{{.Nmae}}"}, "log option tag"),
        ({"labels-regex": "("}, "labels-regex"),
    ):
        arguments = [f"--log-opt={key}={value}" for key, value in options.items()]
        done = engine.docker("run", "--rm", "--network=none", f"--log-driver={plugin.name}", *arguments, IMAGE, "true", check=False)
        if done.returncode == 0 or said not in done.stderr:
            raise AssertionError(f"{options}: ended with {done.returncode}: {done.stderr}")
    equal("containers", plugin.fifos_read(), 0)


# --- docker logs


def logs_of(engine, *arguments):
    done = engine.docker("logs", *arguments)
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_docker_logs(case, engine):
    """Of a container that runs and of one that has ended; the gateway was killed between."""
    plugin, mount = Plugin(case), case.directory / "mnt"
    mount.mkdir()
    # streams have no order between them, unless there is time between their lines
    script = "echo err >&2; usleep 100000; for i in 1 2 3 4 5; do echo out $i; done; while [ ! -e /mnt/go ]; do usleep 50000; done; echo out 6"
    container = plugin.run(engine, script, wait=False, mount=mount)
    plugin.records(container, 6)
    five = [f"out {i}" for i in range(1, 6)]

    def reads(what, more):
        equal(f"{what}: all", logs_of(engine, container), (five + more, ["err"]))
        equal(f"{what}: --tail 2", logs_of(engine, "--tail", "2", container), ((five + more)[-2:], []))
        stamped = logs_of(engine, "--timestamps", container)[0]
        equal(f"{what}: --since the fourth line", logs_of(engine, "--since", stamped[3].split()[0], container)[0], ["out 4", "out 5"] + more)
        equal(f"{what}: --until the second line", logs_of(engine, "--until", stamped[1].split()[0], container)[0], ["out 1", "out 2"])

    reads("running", [])
    plugin.gateway.kill()
    plugin.gateway.start()
    reads("running, after a kill", [])
    (mount / "go").touch()
    engine.wait(container)
    plugin.records(container, 7)
    reads("ended", ["out 6"])
    plugin.gateway.terminate()
    plugin.gateway.start()
    reads("ended, after a restart", ["out 6"])
    plugin.records(container, 7)


def test_docker_logs_follows(case, engine):
    plugin, mount = Plugin(case), case.directory / "mnt"
    mount.mkdir()
    script = "echo first; while [ ! -e /mnt/go ]; do usleep 50000; done; for i in $(seq 200); do echo more $i; done"
    container = plugin.run(engine, script, wait=False, mount=mount)
    got = []
    follower = subprocess.Popen(
        ["docker", f"--host={engine.host}", "logs", "--follow", container], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    case.defer(follower.kill)
    reader = threading.Thread(target=lambda: got.extend(line.rstrip("\n") for line in follower.stdout), daemon=True)
    reader.start()
    wait_until("the first line", lambda: got == ["first"])
    (mount / "go").touch()
    equal("docker logs -f ends with the container", follower.wait(60), 0)
    reader.join(10)
    equal("lines", got, ["first"] + [f"more {i}" for i in range(1, 201)])


def test_docker_logs_of_a_long_line(case, engine):
    plugin, mount = Plugin(case), case.directory / "mnt"
    mount.mkdir()
    container = plugin.run(engine, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo after", wait=True, mount=mount)
    equal("one record", lines(plugin.records(container, 2)), ["x" * 100_000, "after"])
    equal("one line", logs_of(engine, container)[0], ["x" * 100_000, "after"])


# --- many lines, and what may come between


def deliver(case, engine, what, disturb=None, pause=0.005, is_lossless=True, **log_options):
    service, destinations = cloud(case)
    plugin = Plugin(case, {"destinations": destinations})
    label = f"{case.name.rpartition('test_')[2].replace('_', '-')}-{len(ROWS)}"
    writers = Writers(case, engine, plugin.name, log_options, case.size(SHORT, LONG), label, pause=pause)
    if disturb:
        writers.wait_for_middle()
        disturb(plugin)
    writers.back()
    writers.wait_for_end()
    account = writers.account(service, SELF, quiet=30 if is_lossless else 3)
    ROWS.append((what, account))
    if is_lossless:
        lossless(what, account)
    equal("duplicated, out of order", (account.doubled, account.disordered), (0, 0))
    wait_until("nothing is read any more", lambda: plugin.fifos_read() == 0)
    kept = [path for path in (plugin.gateway.data_dir / "docker-plugin").rglob("*.json") if "docker-logs" not in path.parts]
    equal("what was kept of containers", kept, [])
    return plugin, writers, account


def test_many_lines(case, engine):
    plugin, writers, _ = deliver(case, engine, "plugin", pause=0)
    container = next(iter(writers.containers.values()))
    said = subprocess.run(["docker", f"--host={engine.host}", "logs", container], capture_output=True, check=True)
    numbers = [int(line.split()[1]) for line in said.stdout.split(b"\n") if line.startswith(b"out ")]
    equal("docker logs has all of them", numbers, [n for n in range(1, writers.each + 1) if n % BURST or n % LONG_EVERY == 0])


def test_non_blocking(case, engine):
    deliver(case, engine, "plugin non-blocking", pause=0.005, mode="non-blocking", **{"max-buffer-size": "16m"})


def killed(plugin):
    plugin.gateway.kill()
    plugin.gateway.start()


def test_kill(case, engine):
    deliver(case, engine, "plugin, kill -9", killed)


def test_kill_again_and_again(case, engine):
    def disturb(plugin):
        for _ in range(case.size(8, 30)):
            killed(plugin)

    deliver(case, engine, "plugin, kill -9 8 times", disturb)


def test_restart(case, engine):
    def disturb(plugin):
        equal("exit code", plugin.gateway.terminate(), 0)
        plugin.gateway.start()

    deliver(case, engine, "plugin, restart", disturb)


def test_take_over(case, engine):
    deliver(case, engine, "plugin, take-over", lambda plugin: equal("exit code", plugin.gateway.take_over(), 0))


def test_long_absence(case, engine):
    """The containers fill their FIFOs and wait; nobody of them notices more."""

    def disturb(plugin):
        plugin.gateway.kill()
        time.sleep(3)  # no condition can be seen from outside: the containers write until they are blocked
        plugin.gateway.start()

    deliver(case, engine, "plugin, away 3 s", disturb)


def test_engine_restart(case, engine):
    deliver(case, engine, "plugin, engine restart", lambda _: engine.restart())


def test_engine_kill(case, engine):
    deliver(case, engine, "plugin, engine kill -9", lambda _: engine.restart(kill=True))


def test_engine_restart_while_the_gateway_is_away(case, engine):
    """Nobody holds the FIFOs then, and the kernel forgets what is in them: that much can be lost, and no more."""

    def disturb(plugin):
        plugin.gateway.kill()
        back = threading.Timer(2, plugin.gateway.start)
        back.start()
        engine.restart()
        back.join()

    _, writers, account = deliver(case, engine, "plugin, both away at once", disturb, is_lossless=False)
    print(f"        lost with the FIFOs: {account.lost} of {account.sent} lines")
    equal("at most what FIFOs hold", account.lost * 20 < len(writers.containers) * 1024 * 1024, True)


# --- containers that come and go while the gateway is away


def while_away(case, engine, meanwhile, patience=30):
    """A container writes 200 lines and ends while the gateway is away. Returns the plugin, what came once it was back, and
    what was written."""
    service, destinations = cloud(case)
    plugin, mount = Plugin(case, {"destinations": destinations}), case.directory / "mnt"
    mount.mkdir()
    script = "echo before; while [ ! -e /mnt/go ]; do usleep 20000; done; seq 200; touch /mnt/ended"
    container = plugin.run(engine, script, wait=False, mount=mount)
    wait_until("the first line", service.once)
    plugin.gateway.kill()
    (mount / "go").touch()
    wait_until("the container has written", lambda: (mount / "ended").exists())
    meanwhile(plugin, container)
    want = ["before"] + [str(n) for n in range(1, 201)]
    with contextlib.suppress(AssertionError):
        wait_until("the lines", lambda: len(service.once()) >= len(want), patience)
    equal("docker logs", logs_of(engine, container)[0], lines(service.once()))
    return plugin, lines(service.once()), want


def test_container_ends_while_the_gateway_is_away(case, engine):
    """`docker stop` comes back when the gateway does."""

    def meanwhile(plugin, container):
        stopping = subprocess.Popen(["docker", f"--host={engine.host}", "stop", container], stdout=subprocess.DEVNULL)
        plugin.gateway.start()
        equal("docker stop ends", stopping.wait(60), 0)

    plugin, came, want = while_away(case, engine, meanwhile)
    equal("lines", came, want)
    wait_until("nothing is read any more", lambda: plugin.fifos_read() == 0)


def test_container_ends_long_before_the_gateway_is_back(case, engine):
    """The engine gives up on the plugin after 15 s. It forgets the FIFO without closing it, so that what is in it is there
    until its garbage collector closes it: all of it comes, or all of it is lost."""

    def meanwhile(plugin, container):
        began = time.monotonic()
        engine.wait(container, 120)
        print(f"        without the gateway, the container's end took {time.monotonic() - began:.0f} s")
        plugin.gateway.start()

    plugin, came, want = while_away(case, engine, meanwhile, patience=5)
    print(f"        {len(came)} of {len(want)} lines came")
    equal("all lines or those before", came in (want, want[:1]), True)
    engine.restart()
    wait_until("nothing is read any more", lambda: plugin.fifos_read() == 0)


def test_start_while_the_gateway_is_away(case, engine):
    """`docker run` waits for it: the engine asks again for 15 s."""
    plugin = Plugin(case)
    plugin.run(engine, "true")  # the engine knows the plugin now
    plugin.gateway.kill()
    back = threading.Timer(1.5, plugin.gateway.start)
    back.start()
    container = plugin.run(engine, "echo patient")
    back.join()
    equal("lines", lines(plugin.records(container, 1)), ["patient"])


# --- the managed plugin


def capable(number):
    """Whether this machine lets its root have a capability; some sandboxes do not, and runc then starts nothing that asks."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"CapBnd:\s+(\w+)", status)[1], 16) >> number & 1 == 1


CAP_SYS_RESOURCE = 24


def build_plugin(case, home):
    """docker/plugin/build's directory."""
    build = pathlib.Path(__file__).parents[2] / "docker" / "plugin" / "build"
    subprocess.run([str(build), "--only", str(home / "plugin"), str(case.binary)], check=True)
    if not capable(CAP_SYS_RESOURCE):
        print("        this machine has no CAP_SYS_RESOURCE: the plugin is made without asking for it")
        manifest = home / "plugin" / "config.json"
        described = json.loads(manifest.read_text())
        described["linux"]["capabilities"] = []
        manifest.write_text(json.dumps(described))
    return home / "plugin"


def test_managed(case, engine):
    """Built by docker/plugin/build, created, enabled, used, killed in the middle: the engine starts it again."""
    home = case.directory / "managed"
    for name in ("data", "etc"):
        (home / name).mkdir(parents=True)
    service, destinations = cloud(case)
    configuration = {
        "inputs": {"docker_plugin": {"type": "docker_plugin", "socket": "/run/docker/plugins/sluicegate.sock", "join_timeout": "1h"}},
        "destinations": destinations,
        "operations": {"listen": f"127.0.0.1:{free_port()}"},
    }
    (home / "etc" / "sluicegate.yaml").write_text(json.dumps(configuration))
    engine.docker("plugin", "create", "sgmanaged", str(build_plugin(case, home)))
    case.defer(lambda: engine.docker("plugin", "rm", "--force", "sgmanaged", check=False))
    engine.docker("plugin", "set", "sgmanaged", f"data.source={home / 'data'}", f"etc.source={home / 'etc'}")
    engine.docker("plugin", "enable", "--timeout", "60", "sgmanaged")
    container = engine.launch("sgmanaged", {}, "echo managed; head -c 40000 /dev/zero | tr '\\0' x; echo", name="managed-0")
    wait_until("both lines", lambda: lines(service.once()) == ["managed", "x" * 40_000])
    equal("docker logs", logs_of(engine, container)[0], ["managed", "x" * 40_000])

    def killed_in_it():
        (pid,) = processes_in(home)
        os.kill(pid, signal.SIGKILL)
        wait_until("the engine starts it again", lambda: [p for p in processes_in(home) if p != pid])

    for what, disturb in (("managed plugin", None), ("managed plugin, kill -9", killed_in_it)):
        label = what.replace(",", "").replace(" ", "-")
        writers = Writers(case, engine, "sgmanaged", {}, case.size(SHORT, LONG), label, pause=0.005)
        if disturb:
            writers.wait_for_middle()
            disturb()
        writers.back()
        writers.wait_for_end()
        account = writers.account(service, SELF)
        ROWS.append((what, account))
        lossless(what, account)
    refused = engine.docker("plugin", "disable", "sgmanaged", check=False)
    print(f"        disabling it while containers use it: {refused.stderr.strip() or 'done'}")


def processes_in(home):
    """Gateways that read their configuration from here, in whatever part of the file system they live."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            inside = process / "root" / "etc" / "sluicegate" / "sluicegate.yaml"
            if (process / "exe").readlink().name == "sluicegate" and inside.samefile(home / "etc" / "sluicegate.yaml"):
                found.append(int(process.name))
    return found
