"""What the person who runs it sees: the first run, mistakes and how they are told, full disks, foreign peers, the end."""

import contextlib
import json
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import time

from harness.fake_service import FakeService
from harness.forward import Connection, message, new_chunk
from harness.gateway import free_port
from harness.wait import equal, wait_until

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def send(gateway, count=1, tag="app", log="line"):
    """`count` records, each acknowledged."""
    with Connection(gateway.forward) as connection:
        for number in range(count):
            chunk = new_chunk()
            connection.send(message(tag, {"log": f"{log} {number}", "number": number}, chunk=chunk))
            equal("ack", connection.ack(), chunk)


def expect_words(what, text, *words):
    missing = [word for word in words if word.lower() not in text.lower()]
    if missing:
        raise AssertionError(f"{what} does not say {missing}: {text.strip()[-800:]!r}")


def fails_to_start(gateway, *words, timeout=30):
    """It ends by itself, with a code that is not 0, and says all of the words in few lines."""
    gateway.start(wait=False)
    code = gateway.wait(timeout)
    text = gateway.log_text()
    if code == 0 or code < 0:
        raise AssertionError(f"ended with {code}: {text[-600:]}")
    expect_words("the error", text, *words)
    equal("a panic is no error message", "panicked" in text, False)


@contextlib.contextmanager
def small_file_system(case, size="64m"):
    path = case.directory / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "compat", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)


# --- the first run


def test_first_run_without_arguments(case):
    """No file, no arguments: the defaults, and the command that it proposes works as it stands."""
    gateway = case.gateway(start=False, environment={"SLUICEGATE_DATA_DIR": str(case.directory / "state")})
    gateway.start(arguments=[])
    equal("ports", gateway.ports, {"forward": 24224, "log service": 24280, "operations": 24290})
    (proposal,) = [line.removeprefix("try: ") for line in gateway.printed if line.startswith("try: ")]
    directory = shlex.quote(str(pathlib.Path(gateway.binary).parent))
    run = subprocess.run(
        ["sh", "-c", f"PATH={directory}:$PATH; {proposal}"], capture_output=True, text=True, timeout=30, env=gateway.environment
    )
    equal("exit code of the proposal", (run.returncode, run.stderr), (0, ""))
    expect_words("the proposal's answer", run.stdout, "hello")
    expect_words("the data directory is told", "\n".join(gateway.printed), str(case.directory / "state"))


def test_commands_of_the_readme(case):
    """Every sluicegate command of README's first block of commands: the gateway starts, the others succeed."""
    blocks = re.findall(r"^```(?:sh|bash|console|shell)\n(.*?)^```", README.read_text(), re.S | re.M)
    lines = [line.strip().removeprefix("$ ") for line in blocks[0].splitlines()] if blocks else []
    commands = [line for line in lines if re.match(r"\S*sluicegate\b", line)]
    if not commands:
        raise AssertionError("README's first block of commands starts no sluicegate")
    gateway = case.gateway(start=False, environment={"SLUICEGATE_DATA_DIR": str(case.directory / "state")})
    first = shlex.split(commands[0].rstrip(" &"), comments=True)[1:]
    gateway.start(arguments=first)
    for command in commands[1:]:
        arguments = shlex.split(command, comments=True)[1:]
        gateway.command(*arguments)


def test_send_and_query(case):
    gateway = case.gateway()
    gateway.command("send", "--tag", "shop.web", "--to", f"127.0.0.1:{gateway.forward}", '{"log":"paid","order":17}', '{"log":"shipped"}')
    gateway.command("send", "--tag", "shop.pipe", "--to", f"127.0.0.1:{gateway.forward}", text_in="from a pipe\nsecond line\n")
    wait_until("four records", lambda: len(gateway.query("*")) == 4)
    equal("by field", [r["log"] for r in gateway.query("order: 17")], ["paid"])
    equal("by tag", sorted(r["log"] for r in gateway.query('__topic__: "shop.pipe"')), ["from a pipe", "second line"])
    equal("limit", len(gateway.query("*", "--limit", "2")), 2)
    bad = gateway.command("query", "( paid", "--operations", gateway.operations, check=False)
    equal("a bad query fails", bad.returncode != 0, True)
    nobody = gateway.command("send", "--tag", "x", "--to", f"127.0.0.1:{free_port()}", "{}", check=False)
    equal("nobody to send to fails", nobody.returncode != 0, True)
    broken = gateway.command("send", "--tag", "x", "--to", f"127.0.0.1:{gateway.forward}", "{broken", check=False)
    equal("broken JSON fails", broken.returncode != 0, True)


def test_follow(case):
    gateway = case.gateway()
    follower = subprocess.Popen(
        [gateway.binary, "query", "*", "--follow", "--json", "--operations", gateway.operations],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=gateway.environment,
    )
    case.defer(follower.stdout.close)
    case.defer(lambda: (follower.kill(), follower.wait()))
    for number in range(3):
        send(gateway, log=f"followed-{number}")
        equal("the line, as soon as it is there", json.loads(follower.stdout.readline())["log"], f"followed-{number} 0")


def test_status_and_operations(case):
    gateway = case.gateway()
    send(gateway, 3)
    wait_until("delivered", lambda: gateway.log_service().holds(3))
    code, text = gateway.status()
    equal("exit code of status", code, 0)
    expect_words("status", text, "local")
    json.loads(gateway.http("/status")[1])
    equal("healthz, readyz", [gateway.http(path)[0] for path in ("/healthz", "/readyz")], [200, 200])
    equal("received, as counted", gateway.metric("sluicegate_received_records_total"), 3)
    wait_until("delivered, as counted", lambda: gateway.metric("sluicegate_delivered_records_total") == 3)
    with Connection(gateway.ports["operations"]) as connection:
        connection.send(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        expect_words("a POST", connection.closed_by_peer().decode(), "405")
    gateway.terminate()
    code, text = gateway.status()
    equal("status of a gateway that is not there", code != 0, True)


def test_secrets_stay_secret(case):
    gateway = case.gateway()
    send(gateway)
    _, secret = gateway.access_key()
    shown = gateway.log_text() + gateway.http("/status")[1] + gateway.http("/metrics")[1] + gateway.status()[1]
    equal("the secret is shown", secret in shown, False)
    key_file = gateway.data_dir / "log-service" / "access-key"
    equal("mode of the key's file", oct(key_file.stat().st_mode & 0o777), "0o600")


# --- configuration


def check(gateway, config, environment=None, *arguments):
    path = gateway.directory / "checked.yaml"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    gateway.environment |= environment or {}
    done = gateway.command("check", str(path), *arguments, check=False)
    return done.returncode, done.stdout + done.stderr


def test_check(case):
    gateway = case.gateway(start=False)
    good = {"inputs": {"forward": {"listen": "127.0.0.1:24224"}}}
    equal("a good file", check(gateway, good)[0], 0)
    code, text = check(gateway, good, None, "--print")
    equal("printed", code, 0)
    expect_words("the effective configuration", text, "max_message", "24224")


def test_all_errors_at_once(case):
    """Six mistakes, one run of `check`: each is told with the path of its key; and `run` says the same."""
    gateway = case.gateway(start=False)
    wrong = {
        "inputs": {"forward": {"listen": "nowhere", "max_message": "many", "colour": "red"}},
        "journal": {"segment_bytes": "-1"},
        "destinations": {"cloud": {"endpoint": "ftp://x", "project": "p", "logstore": "l", "access_key_id": "${env:COMPAT_UNSET}"}},
        "routes": [{"match": "a.**", "destination": "nobody"}],
    }
    code, text = check(gateway, wrong)
    equal("exit code", code != 0, True)
    paths = ("inputs.forward.listen", "inputs.forward.max_message", "inputs.forward.colour", "journal.segment_bytes",
             "destinations.cloud.endpoint", "COMPAT_UNSET", "routes", "nobody")
    expect_words("check", text, *paths)
    gateway.config = wrong
    fails_to_start(gateway, *paths)


def test_environment(case):
    port = free_port()
    name = "SLUICEGATE__INPUTS__FORWARD__LISTEN"
    gateway = case.gateway(environment={name: f"127.0.0.1:{port}"})
    equal("a variable wins over the file", gateway.forward, port)
    code, text = check(gateway, {}, {"SLUICEGATE__INPUTS__FORWARD__LISTENS": "x"})
    equal("a variable that names no key is an error", code != 0, True)
    expect_words("check", text, "LISTENS")


def test_missing_or_broken_file(case):
    gateway = case.gateway(start=False)
    done = gateway.command("check", "/nonexistent/sluicegate.yaml", check=False)
    equal("exit code", done.returncode != 0, True)
    expect_words("the error", done.stderr + done.stdout, "/nonexistent/sluicegate.yaml")
    code, text = check(gateway, "inputs: [unclosed")
    equal("broken YAML", code != 0, True)
    expect_words("the error", text, "checked.yaml")


# --- what is in the way at the start


def test_busy_port(case):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = case.gateway({"inputs": {"forward": {"listen": f"127.0.0.1:{port}"}}}, start=False)
        fails_to_start(gateway, str(port), "in use")


def test_data_directory_in_use(case):
    first = case.gateway(name="first")
    second = case.gateway({"data_dir": str(first.data_dir)}, start=False, name="second")
    fails_to_start(second, str(first.data_dir), "in use")
    send(first)


def test_unwritable_data_directory(case):
    with small_file_system(case) as path:
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        fails_to_start(case.gateway({"data_dir": str(path / "data")}, start=False, name="read-only"), str(path))
    a_file = case.directory / "a-file"
    a_file.touch()
    fails_to_start(case.gateway({"data_dir": str(a_file / "data")}, start=False, name="no-directory"), str(a_file))


def test_full_data_directory_at_start(case):
    with small_file_system(case, "8m") as path:
        with contextlib.suppress(OSError), open(path / "filler", "wb") as filler:
            while True:
                filler.write(b"\0" * 65536)
                filler.flush()
        fails_to_start(case.gateway({"data_dir": str(path / "data")}, start=False), str(path), "space")


def test_disk_fills_up(case):
    """While it is full nothing is acknowledged and nothing dies; when there is room again everything goes on."""
    with small_file_system(case, "96m") as path:
        gateway = case.gateway({"data_dir": str(path / "data"), "journal": {"segment_bytes": "1MiB"}})
        gateway.data_dir = path / "data"
        send(gateway, 3, log="before")
        filler = path / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
        chunk, connection = new_chunk(), Connection(gateway.forward, timeout=3)
        case.defer(connection.close)
        record = {"log": "while it is full " + "x" * 4_000_000}
        connection.send(message("app", record, chunk=chunk))
        try:
            got = connection.ack()
        except TimeoutError:
            got = "waiting"
        if got not in ("waiting", None, chunk):
            raise AssertionError(f"a strange answer on a full disk: {got!r}")
        equal("it lives", gateway.running(), True)
        wait_until("healthz stays good", lambda: gateway.http("/healthz")[0] == 200)
        filler.unlink()
        acknowledged = got == chunk

        def room_again():
            with Connection(gateway.forward, timeout=5) as again:
                again.send(message("app", {"log": "after"}, chunk=chunk[::-1]))
                return again.ack() == chunk[::-1]

        wait_until("it takes records again", room_again, 30, 0.5)
        logs = gateway.log_service()
        wait_until("before and after", lambda: logs.page("before") and logs.page("after"), 30)
        if acknowledged:
            wait_until("what was acknowledged", lambda: logs.page('"while it is full"'), 30)
        gateway.close()


# --- foreign peers


def refused_bytes(gateway, said):
    with Connection(gateway.forward) as connection:
        connection.send(said)
        equal(f"answer to {said[:12]!r}", connection.closed_by_peer(), b"")


def test_http_and_tls_on_the_forward_port(case):
    """The connection is closed and one line says who called; of many such calls the log stays short."""
    tls_hello = bytes.fromhex("1603010200010001fc0303") + b"\0" * 40
    for name, said in (("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("TLS", tls_hello)):
        gateway = case.gateway(name=name)
        before = len(gateway.log_text())
        for _ in range(100):
            refused_bytes(gateway, said)
        lines = gateway.log_text()[before:].splitlines()
        if not lines or name not in lines[0] or len(lines) > 5:
            raise AssertionError(f"the log of 100 {name} connections: {lines[:10]}")
        send(gateway)


def test_noise_on_the_forward_port(case):
    gateway = case.gateway()
    nested, giant_array, giant_text = b"\x91" * 70 + b"\0", b"\xdd\xff\xff\xff\xff", bytes.fromhex("92a174dbffffffff")
    for said in (b"\xc1\xc1\xc1", nested, giant_array, giant_text):
        refused_bytes(gateway, said)
        send(gateway)


def test_heartbeats_are_silent(case):
    gateway = case.gateway()
    before = gateway.log_text()
    for _ in range(50):
        socket.create_connection(("127.0.0.1", gateway.forward)).close()
    with Connection(gateway.forward) as connection:
        chunk = new_chunk()
        connection.send(b"\xc0" + message("app", {"log": "after a nil"}, chunk=chunk))
        equal("ack", connection.ack(), chunk)
    equal("lines in the log", gateway.log_text()[len(before):], "")


def test_message_over_the_limit(case):
    gateway = case.gateway({"inputs": {"forward": {"max_message": "64KiB"}}})
    with Connection(gateway.forward) as connection:
        with contextlib.suppress(ConnectionError):
            connection.send(message("app", {"log": "x" * 200_000}, chunk=new_chunk()))
        equal("closed without an ack", connection.closed_by_peer(), b"")
    send(gateway)


def test_no_progress_inside_a_message(case):
    """Half a message and then silence is closed after stall_timeout; silence between messages never is."""
    gateway = case.gateway({"inputs": {"forward": {"stall_timeout": "500ms"}}})
    idle = Connection(gateway.forward)
    case.defer(idle.close)
    chunk = new_chunk()
    idle.send(message("app", {"log": "first"}, chunk=chunk))
    equal("ack", idle.ack(), chunk)
    with Connection(gateway.forward, timeout=20) as stalled:
        stalled.send(message("app", {"log": "half"})[:10])
        equal("closed", stalled.closed_by_peer(), b"")
    idle.send(message("app", {"log": "second"}, chunk=chunk[::-1]))
    equal("the idle connection is still good", idle.ack(), chunk[::-1])


# --- the end


def fake_destination(case, **keys):
    service = FakeService().up()
    case.defer(service.close)
    case.defer(service.hold.set)
    return service, {"destinations": {"cloud": service.destination(**keys)}}


def test_sigterm_drains(case):
    """What was read is delivered before it ends, although no batch was due yet; the exit code is 0."""
    service, config = fake_destination(case, batch_age="1h")
    gateway = case.gateway(config)
    with Connection(gateway.forward) as connection:
        connection.send(b"".join(message("app", {"number": str(n)}) for n in range(500)))
        wait_until("read", lambda: gateway.metric("sluicegate_received_records_total") == 500)
        equal("exit code", gateway.terminate(), 0)
    equal("delivered before the end", [int(r["number"]) for r in service.records()], list(range(500)))


def test_ready_until_draining(case):
    service, config = fake_destination(case)
    gateway = case.gateway({**config, "limits": {"stop_deadline": "20s"}})
    service.hold.clear()
    send(gateway)
    wait_until("a request waits", lambda: service.attempts)
    gateway.signal(signal.SIGTERM)
    wait_until("readyz fails while draining", lambda: gateway.http("/readyz")[0] == 503)
    equal("healthz does not", gateway.http("/healthz")[0], 200)
    service.hold.set()
    equal("exit code", gateway.wait(), 0)


def test_second_sigterm_ends_at_once(case):
    service, config = fake_destination(case)
    gateway = case.gateway({**config, "limits": {"stop_deadline": "10m"}}, fixed_ports=True)
    service.hold.clear()
    send(gateway, 5)
    wait_until("a request waits", lambda: service.attempts)
    gateway.signal(signal.SIGTERM)
    wait_until("draining", lambda: gateway.http("/readyz")[0] == 503)
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    gateway.wait(30)  # far less than the deadline
    print(f"        ended {time.monotonic() - began:.2f} s after the second SIGTERM")
    service.hold.set()
    gateway.start()
    wait_until("the journal kept everything", lambda: {r["number"] for r in service.records()} >= {str(n) for n in range(5)})


def test_stop_deadline(case):
    """A backend that is gone holds the stop no longer than the deadline; the rest is delivered after the next start."""
    service, config = fake_destination(case)
    service.down()
    gateway = case.gateway({**config, "limits": {"stop_deadline": "1s"}}, fixed_ports=True)
    send(gateway, 5)
    equal("exit code", gateway.terminate(timeout=20), 0)
    service.up()
    gateway.start()
    wait_until("delivered after the next start", lambda: {r["number"] for r in service.records()} >= {str(n) for n in range(5)})
