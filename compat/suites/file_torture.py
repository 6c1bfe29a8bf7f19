"""Files that are rotated, truncated, removed and made anew under a gateway that is stopped, killed and blocked.

One model knows each line and whether it can still be read (harness/file_model.py); what must arrive arrives once, whole, in
its order. The same seed does the same again: TORTURE_SEED=7. The tests after it take one case each.
"""

import contextlib
import gzip
import os
import pathlib
import shutil
import subprocess
import threading
import time

from harness.file_ledger import table
from harness.file_torture import Scene, Torture
from harness.wait import equal, wait_until

TIME_LIMIT = 600
SEEDS = (1, 12)  # short, long
OPERATIONS = (2_000, 10_000)
ROWS = []


@contextlib.contextmanager
def around(case):
    yield case
    if ROWS:
        print("\n".join(f"        {line}" for line in table(ROWS)))


def test_torture(case, _):
    """Prints a row for each seed; the first that fails shows what was done last to the file."""
    chosen = os.environ.get("TORTURE_SEED")
    seeds = [int(seed) for seed in chosen.split(",")] if chosen else range(1, case.size(*SEEDS) + 1)
    operations = int(os.environ.get("TORTURE_OPERATIONS", case.size(*OPERATIONS)))
    failed = []
    for seed in seeds:
        torture = Torture(case, seed, operations, case.directory / "data" / f"seed-{seed}")
        try:
            torture.run()
            equal("lines out of order", torture.ledger.out_of_order(), [])
            equal("complaints of the service", torture.service.complaints, [])
        except AssertionError as error:
            failed.append(f"seed {seed}: {error}")
            print("\n".join(f"        {line}" for line in [str(error), *torture.story()]), flush=True)
        finally:
            torture.heal()
            torture.gateway.close()
        ROWS.append(torture.row())
        print("\n".join(f"        {line}" for line in table(ROWS[-1:])), flush=True)
    equal("failed seeds", failed, [])


# --- one case each


class App:
    """A program that writes numbered lines to one file."""

    def __init__(self, case, name="app.log", directory="logs", **settings):
        self.directory = case.directory / "data" / directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.path = self.directory / name
        self.generation = 0
        self.scene = Scene(case, [f"{self.directory}/*.log"], case.directory, **settings)
        self.gateway, self.service, self.ledger = self.scene.gateway, self.scene.service, self.scene.ledger
        self.settle = self.scene.settle

    def lines(self, count, size=50):
        """So many new lines, not written yet."""
        self.generation += 1
        return [self.ledger.line(self.path.name, self.generation, number, "x" * size) for number in range(1, count + 1)]

    def write(self, count=1, path=None, size=50):
        lines = self.lines(count, size)
        for line in lines:
            self.ledger.whole(line)
        with open(path or self.path, "ab", buffering=0) as file:
            file.write("".join(line.text + "\n" for line in lines).encode())
        return lines

    def rotate(self, keep=100):
        """app.log -> app.log.1 -> app.log.2 ..."""
        for number in range(keep, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists() and number == keep:
                older.unlink()
            elif older.exists():
                older.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
        return self.path.rename(self.path.with_name(f"{self.path.name}.1"))

    def is_open(self, path=None):
        status = (path or self.path).stat()
        return self.scene.holds((status.st_dev, status.st_ino))

    def block(self):
        """Nothing goes out any more, and no room is left."""
        self.service.hold.clear()
        blocker = self.directory / "blocker.log"
        while self.gateway.metric("sluicegate_buffer_blocked") == 0:
            self.write(500, blocker, 500)
            time.sleep(0.05)  # between two looks at the metric

    def unblock(self):
        self.service.hold.set()

    def once(self):
        """All that was written came, each line once and in order."""
        self.settle()
        equal("lines out of order", self.ledger.out_of_order(), [])
        equal("lines that came", len(self.ledger.came), len(self.ledger.lines))
        equal("complaints of the service", self.service.complaints, [])


def restarted(app, meanwhile=lambda: None, is_kill=False):
    app.gateway.kill() if is_kill else equal("exit code", app.gateway.terminate(), 0)
    meanwhile()
    app.gateway.start()


def test_25_rotations_while_blocked(case, _):
    """Only three of the rotated files are kept: the others are gone by the time that there is room."""
    app = App(case)
    app.write(100)
    app.settle()
    app.block()
    for _ in range(25):
        app.rotate(keep=3)
        app.write(100)
        wait_until("the gateway has seen the new file", app.is_open)
    app.unblock()
    app.once()


def test_25_rotations_while_blocked_and_killed(case, _):
    """All of the rotated files are kept, and have dates."""
    app = App(case)
    app.write(100)
    app.settle()
    app.block()
    for number in range(25):
        app.path.rename(app.path.with_name(f"app.log-202601{number + 1:02d}"))
        app.write(100)
    restarted(app, is_kill=True)
    app.unblock()
    app.once()


def test_writer_that_goes_on_in_the_rotated_file(case, _):
    """logrotate makes the new file at once; the program turns to it when it is told."""
    app = App(case)
    app.write(10)
    app.settle()
    rotated = app.rotate()
    app.path.touch()
    wait_until("the gateway has seen the new file", app.is_open)
    app.write(10, rotated)
    time.sleep(1)  # the program is told late
    app.write(10, rotated)
    app.write(10)
    app.once()


HEAD = "# the same beginning of every file " * 40 + "\n"


def test_copytruncate_with_an_unchanged_head(case, _):
    app = App(case)
    app.path.write_text(HEAD)
    app.write(50)
    for round in range(6):
        app.settle()
        shutil.copyfile(app.path, app.path.with_name("app.log.1"))
        write = lambda: (app.path.write_text(HEAD), app.write(20 - round))  # shorter than before
        if round % 2:
            restarted(app, write, is_kill=round == 3)
        else:
            write()
    app.once()


def test_copytruncate_while_it_is_behind(case, _):
    """What was not read is in the copy."""
    for is_away in (False, True):
        app = App(case, directory=f"logs-{is_away}")
        app.write(100)
        app.settle()
        app.gateway.kill() if is_away else app.block()
        app.write(100)
        shutil.copyfile(app.path, app.path.with_name("app.log.1"))
        os.truncate(app.path, 0)
        app.write(10)
        app.gateway.start() if is_away else app.unblock()
        app.once()
        app.gateway.close()


def test_inode_that_is_used_again(case, _):
    """A new file with the inode of a removed one, of the same size and of another."""
    for is_away in (False, True):
        app = App(case, directory=f"logs-{is_away}")
        app.write(50)
        reused = 0
        for _ in range(10):
            app.settle()
            before = app.path.stat().st_ino
            if is_away:
                equal("exit code", app.gateway.terminate(), 0)
            app.path.unlink()
            app.write(50)
            reused += app.path.stat().st_ino == before
            if is_away:
                app.gateway.start()
        app.once()
        app.gateway.close()
        print(f"        {'while it was away' if is_away else 'running'}: {reused} of 10 files had the inode of the one before")


def test_rotation_while_the_gateway_is_away(case, _):
    app = App(case)
    names = ["app.log-20260101", "app.log.2026-01-02", "app.log.20260103-150405", "app.log-20260104-1767500000"]
    app.write(100)
    for name in names:
        app.settle()

        def meanwhile():
            app.write(10)
            app.path.rename(app.path.with_name(name))
            app.write(10)

        restarted(app, meanwhile)
    for count in (1, 3):
        app.settle()
        restarted(app, lambda: [(app.write(10), app.rotate(), app.write(10)) for _ in range(count)], is_kill=True)
    app.settle()
    restarted(app, lambda: (app.write(10), app.path.rename(app.path.with_name("by-hand")), app.write(10)))
    app.once()


def test_deleted_while_it_is_open(case, _):
    """Its unread lines are read from what is open."""
    app = App(case)
    app.write(10)
    app.settle()
    app.block()
    app.write(5_000)
    wait_until("it is open", app.is_open)
    app.path.unlink()
    app.unblock()
    app.once()
    if case.long:  # who writes to a file whose name is gone is given a minute
        wait_until("the removed file is let go", lambda: not deleted_files(app.gateway.process.pid), 120)


def deleted_files(pid):
    return [name for name in map(os.readlink, pathlib.Path(f"/proc/{pid}/fd").iterdir()) if name.endswith("log (deleted)")]


def compressed(path):
    with open(path, "rb") as source, gzip.open(f"{path}.gz", "wb") as target:
        shutil.copyfileobj(source, target)
    shutil.copystat(path, f"{path}.gz")
    path.unlink()


def test_compressed_rotations(case, _):
    """None is read twice, running or after a restart; one that was not read is."""
    app = App(case)
    app.write(100)
    app.settle()
    compressed(app.rotate())
    app.write(100)
    app.settle()

    def meanwhile():
        app.write(100)
        (app.directory / "app.log.1.gz").rename(app.directory / "app.log.2.gz")
        compressed(app.rotate())
        app.write(100)

    restarted(app, meanwhile)
    app.once()
    restarted(app)
    app.write(1)
    app.once()


def test_half_a_line_over_a_kill(case, _):
    app = App(case)
    app.write(10)
    for is_kill in (True, False):
        (line,) = app.lines(1)
        with open(app.path, "a") as file:
            file.write(line.text[:30])
            file.flush()
            other = app.directory / "other.log"
            app.write(10, other)
            app.settle()
            restarted(app, is_kill=is_kill)
            app.write(10, other)
            app.settle()
            app.ledger.whole(line)
            file.write(line.text[30:] + "\n")
    app.once()


def test_file_that_appears(case, _):
    """Found by the kernel's word, and by scans alone where the kernel gives none."""
    nothing = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\""
    for how, wrapper in (("inotify", ()), ("scan", ("unshare", "-U", "-r", "sh", "-c", nothing))):
        app = App(case, directory=how, files={"scan_interval": "5s"}, wrapper=wrapper)
        seconds = []
        for number in range(case.size(2, 5)):
            began = time.monotonic()
            app.write(1, app.directory / f"new-{number}.log")
            wait_until("the line", lambda: app.ledger.catch_up() or not app.ledger.required(), 30, 0.005)
            seconds.append(time.monotonic() - began)
        app.once()
        app.gateway.close()
        print(f"        a new file's line arrived by {how} after {', '.join(f'{each:.2f}' for each in seconds)} s")


def test_read_only_mount(case, _):
    """As a sidecar should mount its volume."""
    app = App(case, directory="seen", start=False)
    real = app.directory.with_name("real")
    real.mkdir()
    subprocess.run(["mount", "--bind", real, app.directory], check=True)
    case.defer(lambda: subprocess.run(["umount", "--lazy", app.directory], check=True))
    subprocess.run(["mount", "-o", "remount,ro,bind", app.directory], check=True)
    app.path = real / "app.log"
    app.write(100)
    app.gateway.start()
    app.settle()
    app.rotate()
    app.write(100)
    app.settle()
    restarted(app, lambda: app.write(100))
    app.once()


def test_kill_20_times(case, _):
    """Under a program that never rests and rotates its log."""
    app = App(case)
    stop = threading.Event()

    def write():
        while not stop.wait(0.002):
            app.write(20)
            if app.generation % 150 == 0:
                app.rotate()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            before = len(app.ledger.came)
            wait_until("lines come", lambda: app.ledger.catch_up() or len(app.ledger.came) > before)
            restarted(app, is_kill=True)
    finally:
        stop.set()
        writer.join()
    app.once()
    print(f"        {len(app.ledger.lines)} lines, each once; {app.ledger.resent} LogGroups were sent twice")
