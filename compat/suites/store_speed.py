"""How fast the embedded Log Service is, beside grep and, where it is on PATH, VictoriaLogs over the same records.

A short run has 100,000 records and shows that every question is answered, and answered alike; the figures of a run by
`--long` (10 million records, 3 GB) are for docs/log-service.md. Nothing here asserts a time.

Cold is the process started again and the page cache dropped; warm the better of two more. CPU seconds are those of the
process asked, steps of 10 ms.
"""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time

import lz4.block
import msgpack
from aliyun.log import GetHistogramsRequest

from harness.forward import Connection, event_time, new_chunk
from harness.log_service import PROJECT
from harness.service_logs import DAY, ServiceLogs
from harness.victoria_logs import VictoriaLogs, program
from harness.wait import equal, wait_until

PEERS = ["debian"]
TIME_LIMIT = 240
HERTZ = os.sysconf("SC_CLK_TCK")
MEGA = 1e6


def cpu(pid, threads=False):
    """CPU seconds of a process; or of its threads, by name."""
    def seconds(path):
        fields = path.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    at = pathlib.Path(f"/proc/{pid}")
    if not threads:
        return seconds(at / "stat")
    by_name = {}
    for thread in (at / "task").iterdir():
        name = (thread / "comm").read_text().strip()
        by_name[name] = by_name.get(name, 0) + seconds(thread / "stat")
    return by_name


def drop_page_cache():
    subprocess.run(["sync"], check=True)
    with contextlib.suppress(OSError):  # a container may not
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


class Data:
    """The records in a gateway, in a file, in the same file compressed, and in the peer."""

    def __init__(self, case):
        self.logs = ServiceLogs(case.size(100_000, 10_000_000))
        self.gateway = case.gateway(fixed_ports=True)
        self.peer = VictoriaLogs(case.directory / "peer") if program() else None
        if self.peer:
            case.defer(self.peer.close)
            self.peer.start()
        self.plain = case.directory / "records.jsonl"
        self.ingest()
        subprocess.run(["zstd", "-q", "-3", "-f", str(self.plain)], check=True)
        self.compressed = self.plain.with_suffix(".jsonl.zst")

    def ingest(self):
        service, raw, text = self.gateway.log_service().client, 0, 0
        ours, peers = [0.0, cpu(self.gateway.process.pid)], [0.0, self.peer and cpu(self.peer.process.pid)]
        with open(self.plain, "wb") as plain:
            for number in range(self.logs.groups):
                group, lines = self.logs.group(number)
                plain.write(lines)
                raw, text = raw + len(group), text + len(lines)
                body = lz4.block.compress(group, store_size=False)
                headers = {
                    "x-log-bodyrawsize": str(len(group)), "Content-Type": "application/x-protobuf", "x-log-compresstype": "lz4",
                }
                began = time.monotonic()
                service._send("POST", PROJECT, body, "/logstores/default/shards/lb", {}, headers)
                ours[0] += time.monotonic() - began
                if self.peer:
                    began = time.monotonic()
                    self.peer.insert(lines)
                    peers[0] += time.monotonic() - began
        print(f"        {self.logs.records:,} records, {raw / MEGA:.0f} MB as LogGroups, {text / MEGA:.0f} MB as JSON lines")
        self.say_ingest("PutLogs, one connection, LZ4", raw, ours[0], cpu(self.gateway.process.pid) - ours[1])
        if self.peer:
            time.sleep(5)  # it writes what it holds within five seconds; its CPU is in the figure
            self.say_ingest("VictoriaLogs, JSON lines", raw, peers[0], cpu(self.peer.process.pid) - peers[1])

    def say_ingest(self, name, raw, wall, used):
        print(f"        {name}: {raw / MEGA / wall:.0f} MB/s, {raw / MEGA / used:.0f} MB per CPU second (of LogGroups)", flush=True)

    def say_sizes(self):
        sizes = {"gateway": self.gateway.data_dir, "zstd -3": self.compressed, "peer": self.peer and self.peer.directory}
        size = lambda path: sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
        print("        MB on disk: " + ", ".join(f"{name} {size(path) / MEGA:.0f}" for name, path in sizes.items() if path))

    def restart(self):
        self.gateway.terminate()
        self.gateway.start()
        if self.peer:
            self.peer.stop()
            self.peer.start()


@contextlib.contextmanager
def around(case):
    data = Data(case)
    try:
        yield data
    finally:
        for left in [data.plain, data.compressed]:
            left.unlink(missing_ok=True)
        shutil.rmtree(case.directory / "peer", ignore_errors=True)


# --- questions


def rows(data, query, reverse=True, since=None, until=None):
    """GetLogs, again while it says that it is not complete."""
    client = data.gateway.log_service().client
    since, until = since or data.logs.since, until or data.logs.since + DAY
    while True:
        answer = client.get_log(PROJECT, "default", since, until, query=query, size=100, reverse=reverse)
        if answer.is_completed():
            return [log.contents for log in answer.get_logs()]


def histogram(data, query):
    """The sum of GetHistograms' buckets, until it says that it is complete."""
    client = data.gateway.log_service().client
    while True:
        asked = GetHistogramsRequest(PROJECT, "default", data.logs.since, data.logs.since + DAY, "", query)
        answer = client.get_histograms(asked)
        if answer.is_completed():
            return answer.get_total_count()


def questions(data):
    """(name, ours, the peer's, grep's arguments); each gives a number that all must agree on, grep None where it cannot."""
    logs, peer = data.logs, data.peer
    hour = (logs.since + 12 * 3600, logs.since + 13 * 3600)
    whole = (logs.since, logs.since + DAY)

    def select(sql):
        return lambda: rows(data, f"* | {sql}")

    def found(query, span=whole, limit=100):
        return lambda: len(peer.query(query, *span, limit))

    def counted(query, span=whole):
        return lambda: sum(int(row["count(*)"]) for row in peer.query(query, *span))

    return [
        ("a word in 1 record", lambda: len(rows(data, "singleton")), found("singleton"), ["-cF", "singleton"]),
        ("a word in 1 of 100,000", lambda: len(rows(data, "needle")), found("needle"), ["-cwF", "needle"]),
        ("a word in none", lambda: len(rows(data, "zzqqzz")), found("zzqqzz"), ["-cF", "zzqqzz"]),
        ("a frequent word, newest 100", lambda: len(rows(data, "error")), found("error or level:error"), None),
        ("a frequent word, counted", lambda: histogram(data, "error"), counted("(error or level:error) | count()"), ["-cF", '"level":"error"']),
        ("two fields in an hour, newest 100", lambda: len(rows(data, "status: 400 and level: error", since=hour[0], until=hour[1])),
         found("status:=400 level:=error", hour), None),
        ("a phrase, newest 100", lambda: len(rows(data, f'#"{logs.phrase}"')), found(f'"{logs.phrase}"'), None),
        ("count by level", lambda: sum(int(row["c"]) for row in select("SELECT level, count(*) AS c GROUP BY level")()),
         counted("* | stats by (level) count()"), ["-oE", '"level":"[a-z]+"']),
        ("average by path, top 10", lambda: len(select("SELECT path, avg(latency) AS a GROUP BY path ORDER BY a DESC LIMIT 10")()),
         found("* | stats by (path) avg(latency) a | sort by (a desc) limit 10", limit=0), None),
        ("count of all", lambda: int(select("SELECT count(*) AS c")()[0]["c"]), counted("* | count()"), ["-c", ""]),
    ]


def timed(ask, pid):
    used, began = cpu(pid), time.monotonic()
    answer = ask()
    return time.monotonic() - began, cpu(pid) - used, answer


def grep(program, arguments, file):
    """(seconds, what it counted): matching lines, or with -o matches, counted by sort and uniq as one would."""
    command = f"{program} {' '.join(map(repr, arguments))} {file}" + (" | sort | uniq -c" if "-oE" in arguments else "")
    began = time.monotonic()
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout
    return time.monotonic() - began, sum(int(line.split()[0]) for line in said.splitlines())


def test_questions(case, data):
    data.restart()
    data.say_sizes()
    print(f"        {'':<36}{'cold':>8}{'warm':>8}{'CPU':>8}{'peer cold':>11}{'warm':>8}{'CPU':>8}{'grep':>8}{'zstdgrep':>10}")
    for number, (name, *_) in enumerate(questions(data)):
        data.restart()
        drop_page_cache()
        _, ours, peers, by_grep = questions(data)[number]
        cells = []
        for ask, process in [(ours, data.gateway.process), (peers, data.peer and data.peer.process)]:
            if process is None:
                cells += ["-", "-", "-"]
                continue
            cold, *warm = [timed(ask, process.pid) for _ in range(3)]
            best = min(warm)
            cells += [f"{cold[0]:.3f}", f"{best[0]:.3f}", f"{best[1]:.2f}"]
            answers = {answer for *_, answer in [cold, *warm]}
            equal(f"{name}: answers", len(answers), 1)
            if process is data.gateway.process:
                answer = best[2]
            else:
                equal(f"{name}: the peer's answer", best[2], answer)
        if by_grep:
            (plain, count), (packed, same) = grep("grep", by_grep, data.plain), grep("zstdgrep", by_grep, data.compressed)
            equal(f"{name}: what grep and zstdgrep find", (count, same), (answer, answer))
            cells += [f"{plain:.3f}", f"{packed:.3f}"]
        else:
            cells += ["-", "-"]
        widths = [8, 8, 8, 11, 8, 8, 8, 10]
        print(f"        {name:<36}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths)) + f"   {answer:,}", flush=True)
    peak = pathlib.Path(f"/proc/{data.gateway.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    print(f"        the gateway's memory at its peak since its last start: {int(peak) * 1024 / MEGA:.0f} MB")


# --- acks beside a scan


class Pinger(threading.Thread):
    """200 messages of 10 records a second, one after the other; how long each waited for its ack."""

    def __init__(self, port, seconds):
        super().__init__(daemon=True)
        self.connection, self.seconds, self.latencies, self.failure = Connection(port, timeout=60), seconds, [], None
        self.start()

    def run(self):
        try:
            due = time.monotonic()
            end = due + self.seconds
            while due < end:
                time.sleep(max(0, due - time.monotonic()))
                chunk = new_chunk()
                entries = [[event_time(), {"log": f"a line of a service {n}", "container_name": "/web"}] for n in range(10)]
                self.connection.send(msgpack.packb(["ping", entries, {"chunk": chunk}]))
                equal("the ack", self.connection.ack(), chunk)
                # from when it was due: a gateway that stalls cannot hide it
                self.latencies.append(time.monotonic() - due)
                due += 0.005
        except Exception as error:
            self.failure = error

    def result(self):
        self.join()
        self.connection.close()
        if self.failure:
            raise self.failure
        self.latencies.sort()
        at = lambda share: self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000
        return f"p50 {at(0.5):.2f} ms, p99 {at(0.99):.2f} ms, p99.9 {at(0.999):.2f} ms, most {self.latencies[-1] * 1000:.1f} ms"


def test_acks_beside_a_scan(case, data):
    """A scan of all there is, over and over, while a forward client waits for acks; and the same without, before and after."""
    seconds = case.size(2, 60)
    scans = {
        "none": None,
        "a phrase that is nowhere": lambda: rows(data, f'msg: #"{data.logs.words[0]} {data.logs.words[1]} {data.logs.words[0]}"'),
        "count by level": lambda: rows(data, "* | SELECT level, count(*) AS c GROUP BY level"),
        "none again": None,
    }
    for name, scan in scans.items():
        pinger, done = Pinger(data.gateway.forward, seconds), 0
        while scan and pinger.is_alive():
            scan()
            done += 1
        print(f"        acks beside {name}: {pinger.result()}" + (f"; {done} scans in {seconds} s" if scan else ""), flush=True)


# --- what it costs the gateway to feed it


class NullService:
    """Answers every PutLogs with 200 at once."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("x-log-requestid", "0123456789ABCDEF01234567")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def destination(self):
        port = self.server.server_address[1]
        return {
            "endpoint": "http://cn-compat.log.test", "connect": f"127.0.0.1:{port}", "project": "compat-project",
            "logstore": "app-log", "access_key_id": "compatId", "access_key_secret": "compatSecret",
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_share_of_cpu(case, _data):
    """The same records through the gateway into its own Log Service, and to a service that only says yes."""
    records, messages = case.size(20_000, 1_000_000), []
    logs = ServiceLogs(records)
    records = logs.records
    for number in range(logs.groups):
        lines = logs.group(number)[1].splitlines()
        entries = [[event_time(), {k: v for k, v in json.loads(line).items() if k != "_time"}] for line in lines]
        messages.append(msgpack.packb(["feed", entries]))
    null = NullService()
    case.defer(null.close)
    used = {}
    for name, config in [("own", {}), ("null", {"destinations": {"cloud": null.destination()}})]:
        gateway = case.gateway(config, name=name)
        before, began = cpu(gateway.process.pid, threads=True), time.monotonic()
        with Connection(gateway.forward, timeout=120) as connection:
            for message in messages:
                connection.send(message)
            delivered = lambda: gateway.metric("sluicegate_delivered_records_total")
            wait_until("all is delivered", lambda: delivered() == records, 600, 0.1)
        wall = time.monotonic() - began
        threads = {k: v - before.get(k, 0) for k, v in cpu(gateway.process.pid, threads=True).items()}
        used[name] = sum(threads.values())
        shown = ", ".join(f"{k} {v:.2f}" for k, v in sorted(threads.items(), key=lambda pair: -pair[1]) if v > 0)
        print(f"        {name}: {records:,} records in {wall:.1f} s, {used[name]:.2f} CPU s: {shown}", flush=True)
        gateway.close()
    size = sum(map(len, messages)) / MEGA
    print(
        f"        {size:.0f} MB of messages; the own Log Service is {1 - used['null'] / used['own']:.0%} of the gateway's CPU, "
        f"{size / (used['own'] - used['null'] or 1):.0f} MB per CPU second"
    )
