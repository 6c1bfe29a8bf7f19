"""One run of the torture of files: a seed decides what is done to them, to the gateway and to the service behind it."""

import contextlib
import os
import random
import shutil
import time

from .fake_service import FakeService
from .file_ledger import DESTROYED, Ledger
from .file_model import KINDS, Log, patterns, place, weights
from .wait import wait_until

LOGS = 20
# What is done to all of them, and how often among `OF_FILES` operations on one.
OF_FILES = 10_000
OF_ALL = {"settle": 200, "nap": 900, "stop": 25, "kill": 40, "block": 40, "new log": 20, "remove a directory": 20}
OPERATIONS = {
    "append": Log.append, "half": Log.half_line, "rotate": Log.rotate, "compress": Log.compress, "delete": Log.delete,
    "truncate": Log.truncate, "rewrite": Log.rewrite, "copytruncate": Log.copytruncate, "move": Log.move, "swap": Log.swap,
}
# Until all that is owed has come; a service that was away is tried again after seconds.
PATIENCE = 60


class Scene:
    """A gateway that reads the files below a directory, and the service that gets them."""

    def __init__(self, case, paths, root, files=None, start=True, **options):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.service = FakeService().up()
        case.defer(self.service.close)
        case.defer(self.service.hold.set)
        self.ledger = Ledger(self.service)
        self.gateway = case.gateway({
            "inputs": {"forward": None, "files": {
                "type": "file", "paths": paths, "start": "beginning", "scan_interval": "500ms", "flush_timeout": "1h", **(files or {}),
            }},
            "destinations": {"cloud": self.service.destination(batch_age="50ms", request_timeout="5s")},
            "buffers": {"default": {"max_bytes": "256KiB", "on_full": "block"}},
            "limits": {"stop_deadline": "2s"},
            "log_service": {"enabled": False},
        }, start=start, **options)

    def holds(self, file):
        """Whether the gateway has the file (device, inode) open at this moment."""
        directory = f"/proc/{self.gateway.process.pid}/fd"
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                status = os.stat(f"{directory}/{name}")
                if (status.st_dev, status.st_ino) == file:
                    return True
        return False

    def settle(self, patience=PATIENCE):
        """Waits until everything has come that must; fails on anything that came and must not."""
        def all_came():
            self.ledger.catch_up()
            return self.ledger.complaint() or not self.ledger.required()

        with contextlib.suppress(AssertionError):
            wait_until("all lines", all_came, patience, 0.02)
        if complaint := self.ledger.complaint():
            raise AssertionError(complaint[0])
        if missing := self.ledger.required():
            raise AssertionError(f"{len(missing)} lines did not come, the first is {missing[0]}, the last {missing[-1]}")


class Torture(Scene):
    def __init__(self, case, seed, operations, root):
        self.root, self.seed, self.operations = root, seed, operations
        self.random = random.Random(seed)
        self.contents, self.held = {}, []
        self.epoch = self.at = self.restarts = self.kills = self.outages = 0
        self.is_running, self.is_well = True, True
        self.back_at = self.well_at = None
        super().__init__(case, patterns(root), root)
        self.ledger.on_arrival = lambda line: self.by_name[line.log].arrived(line)
        self.logs, self.by_name = [], {}
        for _ in range(len(KINDS)):
            self.new_log()

    def run(self):
        """All operations, and what is owed in the end."""
        names = [*OF_ALL, "file"]
        often = [*OF_ALL.values(), OF_FILES]
        for self.at in range(self.operations):
            if self.at == self.back_at:
                self.start()
            if self.at == self.well_at:
                self.heal()
            name = self.random.choices(names, often)[0]
            if name == "file":
                log = self.random.choice(self.logs)
                chosen = self.random.choices(*weights(log.kind))[0]
                log.history.append((self.at, chosen, OPERATIONS[chosen](log) or ""))
            else:
                self.of_all(name)
        for log in self.logs:
            log.history.append((self.at, "append at the end", log.append()))
        self.settle()

    def of_all(self, name):
        if name == "settle":
            self.settle()
        elif name == "nap":
            time.sleep(self.random.random() / 50)  # nothing is hoped for: others get to run at various places
        elif name == "new log" and len(self.logs) < LOGS:
            self.new_log()
        elif name == "remove a directory":
            self.remove_directory()
        elif name == "block" and self.is_well:
            self.block()
        elif name in ("stop", "kill") and self.is_running:
            self.stop(is_kill=name == "kill")
            self.back_at = self.at + self.random.choice((0, 0, 5, 60)) + 1

    def new_log(self):
        number = len(self.logs)
        kind = list(KINDS)[number % len(KINDS)]
        log = Log(self, f"{kind}-{number}", kind, place(self.root, kind, number // len(KINDS))[0])
        log.make()
        self.by_name[log.name] = log
        self.logs.append(log)

    def remove_directory(self):
        directory = self.random.choice([log for log in self.logs if log.kind == "plain"]).path.parent
        for log in self.logs:
            if log.path.parent == directory:
                log.wipe()
                log.history.append((self.at, "remove its directory", ""))
        shutil.rmtree(directory, ignore_errors=True)

    def tell(self, what):
        for log in self.logs:
            log.history.append((self.at, what, ""))

    # --- the gateway and the service

    def holds(self, content, file):
        """Whether the gateway will read what was in a file that is removed now."""
        return self.is_running and content.read_in == self.epoch and super().holds(file)

    def stop(self, is_kill):
        self.tell("KILL -9" if is_kill else "SIGTERM")
        self.kills += is_kill
        self.restarts += not is_kill
        if is_kill:
            self.gateway.kill()
        elif (code := self.gateway.terminate()) != 0:
            raise AssertionError(f"exit code {code} after SIGTERM")
        self.is_running = False
        self.ledger.catch_up()
        for line in self.held:
            if line.id in self.ledger.waiting:
                line.fate = DESTROYED
        self.held.clear()

    def start(self):
        if not self.is_running:
            self.tell("START")
            self.gateway.start()
            self.is_running, self.back_at, self.epoch = True, None, self.epoch + 1

    def block(self):
        how = self.random.choice(("hold", "hold", "500", "down"))
        self.tell(f"OUTAGE {how}")
        self.is_well, self.well_at = False, self.at + self.random.randint(10, 90)
        self.outages += 1
        if how == "hold":
            self.service.hold.clear()
        elif how == "500":
            self.service.status = 500
        else:
            self.service.down()

    def heal(self):
        if not self.is_well:
            self.tell("WELL")
            self.is_well, self.well_at = True, None
            self.service.hold.set()
            self.service.status = 200
            if self.service._server is None:
                self.service.up()

    def settle_if_possible(self):
        """False where the gateway is away or blocked."""
        if not (self.is_running and self.is_well):
            return False
        self.settle()
        return True

    def settle(self):
        self.heal()
        self.start()
        # Of a log without a file nothing leads to its rotated ones, for a gateway that did not see it go.
        absent = {log.name for log in self.logs if log.now is None and log.gone_in != self.epoch}
        aside = [self.ledger.waiting.pop(line.id) for line in self.ledger.required() if line.log in absent]
        super().settle()
        self.ledger.waiting.update((line.id, line) for line in aside if line.id not in self.ledger.came)
        self.held = [line for line in self.held if line.id in self.ledger.waiting]
        for log in self.logs:
            log.hazard = None

    # --- the account

    def row(self):
        return {
            "seed": self.seed, "operations": self.at + 1, **self.ledger.row(), "restarts": self.restarts, "kills": self.kills,
            "outages": self.outages,
        }

    def story(self):
        """What was done last to the log that something is wrong with."""
        complaint = self.ledger.complaint()
        missing = self.ledger.required()
        name = complaint[1] if complaint else missing[0].log if missing else None
        log = self.by_name.get(name)
        lines = [f"seed {self.seed}, operation {self.at}, log {name}: TORTURE_SEED={self.seed} does the same again"]
        for at, what, more in log.history if log else []:
            lines.append(f"  {at:6}  {what:<22} {more}")
        if log:
            lines.append(f"  now {[(str(content.path.name), content.generation) for content in log.linked()]}")
            lines.append(f"  missing {missing[:5]}")
            lines += [f"  {name} {value:g}" for name, value in self.gateway.metrics().items() if "_file" in name] if self.is_running else []
        return lines
