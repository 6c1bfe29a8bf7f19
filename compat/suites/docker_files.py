"""The files of the json-file and local drivers, read as the engine writes, rotates, compresses and removes them.

Facts about the engine that these tests lean on: max-size counts in thousands; of a container that writes fast, small files
rotate many times a second, and max-file of them are all there is; a compressed file is a new one, made behind the
container's back; a container that is removed takes its files with it, at once; json-file replaces what is no UTF-8.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import time

from harness.delivery import table
from harness.docker import IMAGE
from harness.docker import around as around_engine
from harness.wait import equal, wait_until
from harness.writers import Writers, cloud, lossless

PEERS = ["debian"]
TIME_LIMIT = 240

SHORT, LONG = 2_000, 12_500
ROWS = []


@dataclasses.dataclass(frozen=True)
class Kind:
    """A driver with its options, as a row of the table."""

    name: str
    driver: str
    options: dict
    marks_bytes: bool = False
    drops_empty: bool = False


def json_file(name, **options):
    return Kind(f"json-file {name}".strip(), "json-file", {key.replace("_", "-"): value for key, value in options.items()}, marks_bytes=True)


def local(name, **options):
    return Kind(f"local {name}".strip(), "local", {key.replace("_", "-"): value for key, value in options.items()})


# The line of 1 MiB comes within milliseconds: files that shall lose nothing must hold it. Its pieces are all the same and of
# one time, so that compressed files must not be made of them alone: nothing would tell those apart.
JSON = json_file("")
JSON_ROTATED = json_file("250k x 10", max_size="250k", max_file="10")
JSON_COMPRESSED = json_file("600k x 5 gz", max_size="600k", max_file="5", compress="true")
JSON_BIG = json_file("2m x 5 gz", max_size="2m", max_file="5", compress="true")
LOCAL = local("")
LOCAL_ROTATED = local("250k x 10", max_size="250k", max_file="10", compress="false")
LOCAL_COMPRESSED = local("2m x 5 gz", max_size="2m", max_file="5")


@contextlib.contextmanager
def around(case):
    with around_engine(case, live_restore=True) as engine:
        yield engine
    if ROWS:
        print("\n".join(f"        {line}" for line in table("docker_files", ROWS)))


class Files:
    """A gateway that reads an engine's files, and the Log Service it sends to."""

    def __init__(self, case, engine, start=True, **settings):
        self.service, destinations = cloud(case)
        inputs = {"forward": None, "docker": {"type": "docker", "data_root": str(engine.root / "data"), "join_timeout": "1h", **settings}}
        self.gateway = case.gateway({"inputs": inputs, "destinations": destinations}, start=start)

    def records(self, container, count):
        """The container's records, once there are `count` of them and no more."""
        def of_container():
            return [record for record in self.service.once() if record.get("container_id") == container]

        wait_until(f"{count} records of {container[:12]}", lambda: len(of_container()) >= count)
        equal(f"records of {container[:12]}", len(of_container()), count)
        return of_container()

    def lost(self):
        """What the gateway knows of files it could not read, by metric."""
        return {kind: self.gateway.metric(f"sluicegate_files_{kind}_total") for kind in ("lost", "unseen", "truncated", "damaged")}


def lines(records):
    """Their texts, in order."""
    return [record["log"] for record in records]


# --- records


def one_shape(case, engine, kind):
    files = Files(case, engine, labels=["team", "missing"], env="APP_ENV")
    name = f"shape-{kind.driver}"
    container = engine.launch(
        kind.driver, kind.options, "echo out; echo; printf 'caf\\303\\251 \\t \"q\" \\\\ end  \\r\\n'; sleep 0.1; echo err >&2",
        "--label=team=core", "--label=other=x", "--env=APP_ENV=prod", name=name,
    )
    found = files.records(container, 4)
    equal("lines", lines(found), ["out", "", 'café \t "q" \\ end  \r', "err"])
    equal("streams", [r["source"] for r in found], ["stdout"] * 3 + ["stderr"])
    want = {"container_id": container, "container_name": name, "image_name": IMAGE, "team": "core", "APP_ENV": "prod"}
    for record in found:
        rest = {key: value for key, value in record.items() if key not in ("log", "source", "__topic__")}
        equal("the other fields", rest, want)
        equal("the topic is the tag", record["__topic__"], f"docker.{name}")
    return files, container


def test_one_shape_json_file(case, engine):
    one_shape(case, engine, JSON)


def test_one_shape_local(case, engine):
    one_shape(case, engine, LOCAL)


def test_attributes_of_the_driver(case, engine):
    """What json-file itself writes down of labels, environment and tag."""
    files = Files(case, engine)
    options = {"labels": "team", "env": "APP_ENV", "tag": "{{.Name}}/{{.ID}}"}
    container = engine.launch("json-file", options, "echo attributed", "--label=team=core", "--env=APP_ENV=prod", name="attributed")
    (record,) = files.records(container, 1)
    equal("label and variable", (record.get("team"), record.get("APP_ENV")), ("core", "prod"))
    print(f"        the driver's own tag is {'field tag: ' + record['tag'] if 'tag' in record else 'left out'}; topic {record['__topic__']}")


def test_renamed_container(case, engine):
    """Names come from what the engine writes down, also when it changes."""
    files, mount = Files(case, engine), case.directory / "mnt"
    mount.mkdir()
    script = "echo one; while [ ! -e /mnt/go ]; do usleep 20000; done; echo two"
    container = engine.launch("json-file", {}, script, name="before-it", mount=mount, wait=False)
    files.records(container, 1)
    engine.docker("rename", "before-it", "after-it")
    (mount / "go").touch()
    engine.wait(container)
    equal("names", [r["container_name"] for r in files.records(container, 2)], ["before-it", "after-it"])


def test_other_drivers_are_left_alone(case, engine):
    files = Files(case, engine)
    engine.launch("none", {}, "echo nowhere")
    container = engine.launch("json-file", {}, "echo somewhere")
    files.records(container, 1)
    equal("records of the one without a log", [r for r in files.service.once() if r["log"] == "nowhere"], [])


def test_restarted_container(case, engine):
    """The next run's first line is not glued to an unfinished last one."""
    files = Files(case, engine, join_timeout="300ms")
    container = engine.launch("json-file", {}, "echo whole; printf 'no newline'")
    files.records(container, 2)
    engine.docker("start", container)
    engine.wait(container)
    equal("lines", lines(files.records(container, 4)), ["whole", "no newline"] * 2)


# --- many lines, and what may come between


def deliver(case, engine, kind, what="", disturb=None, pause=None, before=None, is_lossless=True):
    files = Files(case, engine, start=before is None)
    label = f"{case.name.rpartition('test_')[2].replace('_', '-')}-{len(ROWS)}"
    pause = case.size(0.015, 0.03) if pause is None else pause
    writers = Writers(case, engine, kind.driver, kind.options, case.size(SHORT, LONG), label, pause=pause)
    if before:
        before(files, writers)
    if disturb:
        writers.wait_for_middle()
        disturb(files)
    writers.back()
    writers.wait_for_end()
    account = writers.account(files.service, kind, quiet=30 if is_lossless else 3)
    name = f"{kind.name}{', ' + what if what else ''}"
    ROWS.append((name, account))
    if is_lossless:
        equal("what the gateway knows to be lost", set(files.lost().values()), {0.0})
        lossless(name, account)
    return files, account


def killed(files):
    files.gateway.kill()
    files.gateway.start()


def restarted(files):
    equal("exit code", files.gateway.terminate(), 0)
    files.gateway.start()


def after_all_is_written(files, writers):
    """The gateway comes when the containers have ended, which their files outlive."""
    writers.back()
    writers.wait_for_end()
    files.gateway.start()


def test_json_file(case, engine):
    deliver(case, engine, JSON, pause=0)


def test_json_file_kill(case, engine):
    deliver(case, engine, JSON, "kill -9", killed)


def test_json_file_kill_again_and_again(case, engine):
    deliver(case, engine, JSON, "kill -9 8 times", lambda files: [killed(files) for _ in range(8)], pause=0.03)


def test_json_file_restart(case, engine):
    deliver(case, engine, JSON, "restart", restarted)


def test_json_file_take_over(case, engine):
    deliver(case, engine, JSON, "take-over", lambda files: equal("exit code", files.gateway.take_over(), 0))


def test_json_file_written_before_the_start(case, engine):
    deliver(case, engine, JSON, "gateway starts after", before=after_all_is_written, pause=0)


def test_json_file_engine_kill(case, engine):
    deliver(case, engine, JSON, "engine kill -9", lambda _: engine.restart(kill=True))


def test_json_file_rotated(case, engine):
    deliver(case, engine, JSON_ROTATED)


def test_json_file_rotated_kill(case, engine):
    deliver(case, engine, JSON_ROTATED, "kill -9", killed)


def test_json_file_compressed(case, engine):
    deliver(case, engine, JSON_COMPRESSED)


def test_json_file_compressed_kill(case, engine):
    deliver(case, engine, JSON_COMPRESSED, "kill -9", killed)


def test_json_file_compressed_written_before_the_start(case, engine):
    deliver(case, engine, JSON_BIG, "gateway starts after", before=after_all_is_written, pause=0)


def test_local(case, engine):
    deliver(case, engine, LOCAL, pause=0)


def test_local_kill(case, engine):
    deliver(case, engine, LOCAL, "kill -9", killed)


def test_local_take_over(case, engine):
    deliver(case, engine, LOCAL, "take-over", lambda files: equal("exit code", files.gateway.take_over(), 0))


def test_local_written_before_the_start(case, engine):
    deliver(case, engine, LOCAL, "gateway starts after", before=after_all_is_written, pause=0)


def test_local_rotated(case, engine):
    deliver(case, engine, LOCAL_ROTATED)


def test_local_rotated_kill(case, engine):
    deliver(case, engine, LOCAL_ROTATED, "kill -9", killed)


def test_local_compressed(case, engine):
    deliver(case, engine, LOCAL_COMPRESSED, pause=0)


def test_local_compressed_written_before_the_start(case, engine):
    deliver(case, engine, LOCAL_COMPRESSED, "gateway starts after", before=after_all_is_written, pause=0)


# --- containers that go, and files that go too fast


def test_container_removed_while_it_is_read(case, engine):
    """`docker run --rm`: the files are gone with the container; they were open."""
    files = Files(case, engine)
    names = [f"gone-{i}" for i in range(4)]
    for name in names:
        engine.launch("json-file", {}, "seq 3000; sleep 1", "--rm", name=name, wait=False)
    wait_until("the containers are gone", lambda: not engine.docker("ps", "--all", "--quiet", "--filter=name=gone-").stdout.strip())

    def came():
        found = {name: [] for name in names}
        for record in files.service.once():
            if record["container_name"] in found:
                found[record["container_name"]].append(record["log"])
        return found

    wait_until("all lines", lambda: sum(map(len, came().values())) >= 12_000)
    equal("lines", came(), {name: [str(n) for n in range(1, 3001)] for name in names})
    wait_until("no removed file is held open", lambda: not held_open(files.gateway.process.pid))


def held_open(pid):
    """Logs that a process holds open after they were removed."""
    opened = pathlib.Path(f"/proc/{pid}/fd").iterdir()
    return [name for name in map(os.readlink, opened) if "/containers/" in name and name.endswith("(deleted)")]


def short_lived(case, engine, count=20):
    """Containers that live for moments and are removed: what a reader of files cannot promise."""
    files = Files(case, engine)

    def run(number):
        engine.docker("run", "--rm", "--network=none", "--log-driver=json-file", f"--name=brief-{number}", IMAGE, "echo", "brief")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(count)))
    with contextlib.suppress(AssertionError):
        wait_until("all of them", lambda: len(files.service.once()) >= count, 5)
    return len(files.service.once())


def test_short_lived_containers(case, engine):
    came = short_lived(case, engine)
    print(f"        of 20 containers with --rm that echo and end, {came} were read")
    equal("most of them", came > 10, True)


def fast_rotation(case, engine, kind, what="fast", disturb=None, pause=0):
    """Several rotations a second, of few and small files: what is lost is counted."""
    files, account = deliver(case, engine, kind, what, disturb, pause=pause, is_lossless=False)
    known = files.lost()
    shown = ", ".join(f"{name} {value:.0f}" for name, value in known.items() if value)
    print(f"        {kind.name}, {what}: lost {account.lost} of {account.sent} lines; files: {shown or 'all read'}")
    equal("doubled", account.doubled, 0)
    equal("losses are counted", account.lost == 0 or known["lost"] + known["unseen"] > 0, True)


def test_fast_rotation(case, engine):
    fast_rotation(case, engine, json_file("50k x 5", max_size="50k", max_file="5"))


def test_fast_rotation_compressed(case, engine):
    fast_rotation(case, engine, json_file("50k x 5 gz", max_size="50k", max_file="5", compress="true"))


def test_fast_rotation_of_two_files(case, engine):
    fast_rotation(case, engine, json_file("20k x 2", max_size="20k", max_file="2"))


def test_fast_rotation_of_one_file(case, engine):
    fast_rotation(case, engine, json_file("20k x 1", max_size="20k"))


def test_fast_rotation_local(case, engine):
    fast_rotation(case, engine, local("20k x 2", max_size="20k", max_file="2", compress="false"))


def test_fast_rotation_while_the_gateway_is_away(case, engine):
    """It comes back to other files than it left."""

    def away(files):
        files.gateway.kill()
        time.sleep(2)  # the containers write on: nothing outside says how far
        files.gateway.start()

    fast_rotation(case, engine, json_file("20k x 2", max_size="20k", max_file="2"), "away for 2 s", away, pause=0.01)
