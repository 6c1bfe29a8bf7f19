"""kill -9 at random moments: what was acknowledged is in the logstore afterwards.

A killed process proves nothing about the disk (the page cache survives it): that is shown by the journal's own tests
against a file layer that forgets. Here the whole way is tested, sockets, recovery and the embedded service included, and
strace shows the order of fdatasync and ack.
"""

import collections
import random
import re
import time

from harness.forward import AckedSender, Connection, message, new_chunk
from harness.wait import equal, wait_until

PEERS = ["debian"]
TIME_LIMIT = 400

# small segments, so that a round crosses many roll-overs; a logstore for each round, so that its queries stay small
CONFIG = {
    "journal": {"segment_bytes": "64KiB"},
    "routes": [{"match": "crash.**", "logstore": "round-${tag[1]}"}],
}


def senders_of(gateway, round_number, connections=8, pause=0.004):
    senders = [
        AckedSender(
            gateway.forward, f"r{round_number}c{i}", f"crash.{round_number}", records_per_chunk=(1, 8)[i % 2], window=64, pause=pause
        )
        for i in range(connections)
    ]
    for sender in senders:
        sender.start()
    return senders


def kill_under_load(gateway, senders, chance):
    for _ in range(chance.randint(1, 3)):
        time.sleep(chance.uniform(0.05, 0.7))
        gateway.kill()
        gateway.start()
    finish(senders)


def kill_in_recovery(gateway, senders, chance):
    time.sleep(chance.uniform(0.3, 0.8))
    gateway.kill()
    for _ in range(chance.randint(1, 4)):
        gateway.start(wait=False)
        time.sleep(chance.uniform(0.0, 0.12))
        gateway.kill()
    gateway.start()
    finish(senders)


def kill_while_settling(gateway, senders, chance):
    """Everything is acknowledged and on its way to the logstore."""
    time.sleep(chance.uniform(0.3, 0.8))
    finish(senders)
    for _ in range(chance.randint(1, 3)):
        time.sleep(chance.uniform(0.0, 1.2))
        gateway.kill()
        gateway.start()


KILLS = [kill_under_load, kill_in_recovery, kill_while_settling]


def finish(senders):
    for sender in senders:
        sender.finish()


def verify(gateway, round_number, senders):
    """Every acknowledged number is there; returns (acknowledged, extra copies)."""
    acknowledged = {(sender.name, number) for sender in senders for number in sender.acked}
    logs, logstore = gateway.log_service(), f"round-{round_number}"
    found, missing = collections.Counter(), acknowledged

    def complete():
        nonlocal found, missing
        found = collections.Counter((r["sender"], int(r["number"])) for r in logs.search("*", logstore))
        missing = acknowledged - found.keys()
        return not missing

    try:
        wait_until(f"all acknowledged records of round {round_number}", complete, 60, 0.5)
    except AssertionError as error:
        by_sender = collections.defaultdict(list)
        for name, number in sorted(missing):
            by_sender[name].append(number)
        raise AssertionError(f"{len(missing)} of {len(acknowledged)} acknowledged records are missing: {dict(by_sender)}") from error
    return len(acknowledged), found.total() - len(found)


def test_kill_at_random_moments(case):
    rounds = case.size(6, 50)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    gateway = case.gateway(CONFIG, fixed_ports=True)
    acknowledged = copies = 0
    for round_number in range(rounds):
        kill = KILLS[round_number % len(KILLS)]
        senders = senders_of(gateway, round_number, pause=case.size(0.012, 0.004))
        try:
            wait_until("the first acks", lambda: all(sender.acked for sender in senders))
            kill(gateway, senders, chance)
            round_acknowledged, round_copies = verify(gateway, round_number, senders)
        except AssertionError as error:
            raise AssertionError(f"round {round_number} ({kill.__name__}, seed {seed}): {error}") from error
        finally:
            for sender in senders:
                sender.abandon()
        acknowledged, copies = acknowledged + round_acknowledged, copies + round_copies
    # at least once: a message that was stored but whose ack was lost with the process is sent, and stored, again
    print(f"        {rounds} rounds, {acknowledged} acknowledged records, 0 lost, {copies} duplicates (seed {seed})")
    gateway.terminate()
    damaged = [str(path) for path in gateway.data_dir.rglob("*") if "damaged" in path.name]
    equal("files set aside as damaged: kill -9 damages none", damaged, [])


def test_torn_tail_is_cut(case):
    """Bytes of an entry that never was committed, at the end of the journal: cut, and everything before them kept."""
    gateway = case.gateway(CONFIG, fixed_ports=True)
    senders = senders_of(gateway, 0, connections=2)
    wait_until("some acks", lambda: all(len(sender.acked) > 50 for sender in senders))
    gateway.kill()
    newest = max(segments(gateway), key=lambda path: path.name)
    with open(newest, "ab") as segment:
        segment.write(bytes(range(1, 200)))
    gateway.start()
    finish(senders)
    verify(gateway, 0, senders)


def segments(gateway):
    return [path for path in (gateway.data_dir / "journal").iterdir() if path.is_file() and path.stat().st_size > 0]


# --- the order of system calls


class Call:
    def __init__(self, number, began, text):
        self.number, self.began, self.ended, self.text = number, began, began, text


def calls_of(trace):
    """The calls of an `strace -f` file with the lines on which they began and ended."""
    open_calls, calls = {}, []
    for line_number, line in enumerate(trace.splitlines()):
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if resumed := re.match(r"<\.\.\. (\w+) resumed>", rest):
            call = open_calls.pop((pid, resumed[1]), None)
            if call:
                call.ended, call.text = line_number, call.text + rest
        elif name := re.match(r"(\w+)\(", rest):
            call = Call(len(calls), line_number, rest)
            calls.append(call)
            if rest.endswith("<unfinished ...>"):
                call.ended = None  # until it is resumed
                open_calls[pid, name[1]] = call
    return calls


def test_fdatasync_before_ack(case):
    """In a trace of one acknowledged message: bytes arrive, the journal is written, fdatasync returns 0, the ack is written."""
    trace = case.directory / "strace.log"
    traced = "trace=fdatasync,fsync,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,read,readv,recvfrom,recvmsg"
    gateway = case.gateway(wrapper=["strace", "-D", "-f", "-y", "-s", "400", "-e", traced, "-o", str(trace)])
    chunks = [new_chunk() for _ in range(3)]
    for chunk in chunks:
        with Connection(gateway.forward) as connection:
            connection.send(message("traced", {"log": "on its way"}, chunk=chunk))
            equal("ack", connection.ack(), chunk)
    gateway.terminate()
    wait_until("the trace is complete", lambda: "+++ exited" in trace.read_text(errors="replace"))
    calls = calls_of(trace.read_text(errors="replace"))
    for chunk in chunks:
        arrived = next(c for c in calls if re.match(r"(recv|read)", c.text) and chunk in c.text)
        ack = next(c for c in calls if re.match(r"(send|write)", c.text) and chunk in c.text and "ack" in c.text)
        between = [c for c in calls if c.ended is not None and arrived.began < c.began and c.ended < ack.began and "/journal/" in c.text]
        writes = [c for c in between if re.match(r"p?write", c.text)]
        synced = [c for c in between if re.match(r"f(data)?sync", c.text) and c.text.rstrip().endswith("= 0")]
        if not any(sync.began > write.ended for sync in synced for write in writes):
            lines = "\n".join(c.text[:160] for c in calls[arrived.number : ack.number + 1])
            raise AssertionError(f"no fdatasync of the journal between its write and the ack of {chunk}:\n{lines}")
