"""The embedded Log Service under kill -9: what was answered 200 is there, and the write-ahead log is synced before the answer."""

import re
import subprocess
import sys
import time

from aliyun.log import LogItem, PutLogsRequest

from harness.log_service import PROJECT
from harness.sls_calls import PEERS_DIRECTORY, environment
from harness.wait import equal, wait_until
from suites.crash import calls_of

PEERS = ["debian"]  # strace
TIME_LIMIT = 240
STORE = "crashed"


class Writer:
    """The SDK in a process of its own; it writes down each number that was answered 200."""

    def __init__(self, case, gateway, name):
        self.name, self.path = name, case.directory / f"{name}.answered"
        self.path.touch()
        log = open(case.directory / f"{name}.log", "ab")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(PEERS_DIRECTORY / "sls-writer.py"), name, str(self.path)], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env=environment(gateway, PROJECT=PROJECT, LOGSTORE=STORE),
        )
        log.close()
        case.defer(self.end)

    def answered(self):
        text = self.path.read_text()
        return [int(line) for line in text[: text.rfind("\n") + 1].split()]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def test_kill_while_three_writers_put(case):
    gateway = case.gateway(fixed_ports=True)
    gateway.log_service().client.create_logstore(PROJECT, STORE, 7, 2)
    writers = [Writer(case, gateway, f"w{i}") for i in range(3)]
    kills = case.size(4, 30)
    for _ in range(kills):
        before = [len(writer.answered()) for writer in writers]
        wait_until("all writers write", lambda: all(len(w.answered()) > n + 10 for w, n in zip(writers, before)), 60)
        gateway.kill()
        gateway.start()
    for writer in writers:
        writer.end()
    want = {(writer.name, number) for writer in writers for number in writer.answered()}
    logs = gateway.log_service()
    found = [(record["writer"], int(record["n"])) for record in logs.search("*", STORE)]
    equal("answered 200 and not there", sorted(want - set(found)), [])
    gateway.terminate()
    damaged = [str(path) for path in gateway.data_dir.rglob("*") if "damaged" in path.name]
    equal("files set aside as damaged: kill -9 damages none", damaged, [])
    extra = len(found) - len(want)
    print(f"        {kills} kills, {len(want)} puts answered 200, 0 lost, {extra} stored without their answer or twice")


def test_wal_is_synced_before_the_answer(case):
    """In a trace of puts: the body arrives, the WAL is written, then synced, then 200 goes out."""
    trace = case.directory / "strace.log"
    traced = "trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg"
    gateway = case.gateway(wrapper=["strace", "-D", "-f", "-y", "-s", "600", "-e", traced, "-o", str(trace)])
    client = gateway.log_service().client
    client.create_logstore(PROJECT, STORE, 7, 1)
    ids = []
    for number in range(3):
        item = LogItem(int(time.time()), [("n", str(number))])
        ids.append(client.put_logs(PutLogsRequest(PROJECT, STORE, "t", "s", [item])).get_request_id())
    gateway.terminate()
    wait_until("the trace is complete", lambda: "+++ exited" in trace.read_text(errors="replace"))
    calls = calls_of(trace.read_text(errors="replace"))
    for request_id in ids:
        sent = next(c for c in calls if re.match(r"(send|write)", c.text) and request_id in c.text)
        asked = [c for c in calls if re.match(r"(recv|read)", c.text) and f"/logstores/{STORE}/shards/lb" in c.text and c.began < sent.began]
        arrived = asked[-1]
        between = [c for c in calls if c.ended is not None and arrived.began < c.began and c.ended < sent.began]
        writes = [c for c in between if re.match(r"pwrite", c.text) and "/packs/" in c.text and "-wal" in c.text]
        synced = [c for c in between if re.match(r"f(data)?sync", c.text) and "-wal" in c.text and c.text.rstrip().endswith("= 0")]
        if not any(sync.began > write.ended for sync in synced for write in writes):
            lines = "\n".join(c.text[:160] for c in calls[arrived.number : sent.number + 1])
            raise AssertionError(f"no sync of the WAL between its write and the answer {request_id}:\n{lines}")
    kept = case.work / "results" / "store_crash.strace"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("".join(f"{c.text[:150]}\n" for c in calls[arrived.number : sent.number + 1]))
    print(f"        3 puts: pwrite64 of the WAL, fsync of it = 0, then the 200; the last one is kept in {kept}")
