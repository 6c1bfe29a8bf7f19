"""Log files that are treated as badly as log files are, and what of them a reader owes.

A `Log` is a path, what is written to it now, and what rotation made of its earlier generations. Whatever destroys bytes says
so to the ledger: a line is owed while it stands in a file that the reader knows, or may still have open.

    must arrive        it stands in the log's file or in one of its rotated ones; or its file was removed while the gateway
                       had it open (it is among its descriptors, and lines of it had come), and the gateway runs on
    destroyed unread   truncated, removed or rotated out of reach before
    out of sight       its file was rotated, moved or swapped away before the gateway had shown that it knew the log

What no reader can see is not done: a file with the same beginning as before is not written beyond its former size before all
of it has arrived, and where files cannot be told apart by their beginning none is copied, compressed or removed. Nor is the log
ever without its file where patterns take its rotated ones for logs, too.
"""

import collections
import gzip
import os
import pathlib
import shutil

from .file_ledger import DESTROYED, HEADER, MUST, SIGHT

APPENDS = {"append": 60, "half": 8}
# What is done to a log of each kind, and how often.
KINDS = {
    "numbered": {**APPENDS, "rotate": 6, "compress": 3, "delete": 0.7, "truncate": 0.5},
    "dated": {**APPENDS, "rotate": 6, "compress": 3, "delete": 0.7, "move": 0.5},
    "copied": {**APPENDS, "copytruncate": 6, "compress": 3, "truncate": 1, "delete": 0.5},
    "plain": {**APPENDS, "truncate": 3, "delete": 3, "move": 2},
    "hole": {**APPENDS, "copytruncate": 2, "truncate": 3},
    "alike": {**APPENDS, "rotate": 3},
    "header": {**APPENDS, "rewrite": 4},
    "link": {**APPENDS, "swap": 6, "delete": 1},
    "loose": {**APPENDS, "rotate": 6, "compress": 3},
}
# Names of rotated files: the number is that of the rotation.
DATES = (".2026-01-{:02d}-{:02d}", "-202601{:02d}-17672{:05d}", ".202601{:02d}-{:06d}")


class Content:
    """The bytes of a file, under whatever name."""

    def __init__(self, log, generation, path):
        self.log, self.generation, self.path = log, generation, path
        self.ids, self.number, self.offset, self.is_holed = [], 0, 0, False
        self.read_in = None  # the gateway's run in which it certainly read some of it

    def file(self):
        """What it is known by under every name."""
        status = self.path.stat()
        return status.st_dev, status.st_ino


class Log:
    def __init__(self, run, name, kind, directory):
        self.run, self.name, self.kind, self.random = run, name, kind, run.random
        self.path = directory / f"{name}.log"
        self.targets = run.root / "targets" / name  # of links
        self.keep = self.random.randint(2, 6) if kind != "alike" else 1_000
        self.dates = self.random.choice(DATES)
        self.now, self.rotated = None, []  # what is written to; what was before, the newest first
        self.serial = self.gap = self.rotations = 0
        self.is_known = False  # the gateway has read of it since its file was made where there was none
        self.half, self.half_size = None, 0  # an unfinished line, and how much of it is written
        self.hazard = None  # size up to which new content cannot be taken for the old one
        self.gone_in = None  # run of the gateway in which its file went
        self.history = collections.deque(maxlen=30)

    def arrived(self, line):
        content = self.run.contents[self.name, line.generation]
        if line.epoch == self.run.epoch:
            content.read_in = line.epoch
        self.is_known |= line.generation > self.gap

    # --- writing

    def make(self, follows=False):
        """A new file under the log's name. `follows`: it takes the place of one that has just been there."""
        if not follows:
            self.is_known, self.gap = False, self.serial
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path
        if self.kind == "link":
            self.targets.mkdir(parents=True, exist_ok=True)
            path = self.targets / f"{self.serial + 1}.txt"
        self.begin(path)
        path.touch()
        if self.kind == "link":
            fresh = self.path.with_suffix(".fresh")
            fresh.symlink_to(path)
            fresh.rename(self.path)
        if self.kind in ("alike", "header"):
            self.put(self.header())

    def header(self):
        return f"{HEADER} {self.name} {'the same beginning ' * 60}\n".encode()

    def begin(self, path):
        self.serial += 1
        self.now = Content(self, self.serial, path)
        self.run.contents[self.name, self.serial] = self.now
        self.gone_in = None

    def put(self, data):
        """As a program with a buffer does: in pieces that know nothing of lines."""
        content = self.now
        with open(content.path, "r+b" if self.kind == "hole" else "ab", buffering=0) as file:
            if self.kind == "hole":
                file.seek(content.offset)
            pieces = self.random.choice((1, 1, 1, 2, 5))
            step = max(1, -(-len(data) // pieces))
            for at in range(0, len(data), step):
                file.write(data[at : at + step])
        content.offset += len(data)

    def new_line(self, size=None):
        self.now.number += 1
        if size is None:
            size = self.random.choice((0, 20, 60, 200)) if self.random.random() < 0.998 else self.random.randint(5_000, 90_000)
        return self.run.ledger.line(self.name, self.now.generation, self.now.number, "x" * size, self.run.epoch)

    def add(self, lines, data):
        """Writes `data`, which completes `lines`."""
        self.put(data)
        for line in lines:
            self.now.ids.append(line.id)
            self.run.ledger.whole(line)

    def append(self):
        self.finish_half()
        if self.now is None:
            self.make()
        lines = [self.new_line() for _ in range(min(200, int(self.random.paretovariate(0.7))))]
        data = "".join(line.text + "\n" for line in lines).encode()
        if self.hazard and self.now.offset + len(data) >= self.hazard and not self.run.settle_if_possible():
            self.now.number -= len(lines)
            return "nothing: it would grow beyond what can be told"
        self.add(lines, data)
        return f"{len(lines)} lines, up to {lines[-1].id}, {self.now.offset} bytes"

    def half_line(self):
        if self.half or self.now is None or self.hazard:
            return self.finish_half()
        line = self.new_line()
        at = self.random.randint(len(line.text) // 2, len(line.text))
        self.put(line.text[:at].encode())
        self.half, self.half_size = line, at
        return f"{at} bytes of line {line.id}"

    def finish_half(self):
        if self.half:
            line, self.half = self.half, None
            self.add([line], line.text[self.half_size :].encode() + b"\n")
            return f"the rest of line {line.id}"

    def settle_half(self, chance):
        """Before its file is another's: mostly it is finished, else nothing ever follows."""
        if self.half and self.random.random() < chance:
            self.finish_half()

    def abandon_half(self):
        if self.half:
            self.half.abandoned, self.half = self.half.text[: self.half_size], None

    # --- what takes bytes away

    def destroyed(self, content, removed=None):
        """The bytes of `content` are gone. Of a `removed` file they stay for whoever has it open."""
        self.run.ledger.catch_up()
        is_held = removed is not None and self.run.holds(content, removed)
        elsewhere = {id for other in self.linked() if other is not content for id in other.ids}
        for line in self.waiting(content):
            if line.id not in elsewhere:
                if is_held:
                    self.run.held.append(line)
                elif line.fate == MUST:
                    line.fate = DESTROYED
        return ", held open" if is_held else ""

    def waiting(self, content):
        lines = self.run.ledger.waiting
        return [lines[id] for id in content.ids if id in lines]

    def linked(self):
        return [*([self.now] if self.now else []), *self.rotated]

    def leaves(self, is_traceless=False):
        """The file leaves the log's name: who does not know the log yet will not look for it. Where it leaves no trace,
        nobody finds it who has not read of it."""
        self.run.ledger.catch_up()
        waiting = self.waiting(self.now)
        if not self.is_known or is_traceless and len(waiting) == len(self.now.ids):
            for line in waiting:
                line.fate = SIGHT

    def remove(self, content):
        removed = content.file()
        content.path.unlink()
        if content in self.rotated:
            self.rotated.remove(content)
        else:
            self.now, self.hazard, self.gone_in = None, None, self.run.epoch
        return self.destroyed(content, removed)

    def delete(self):
        if self.now is None:
            return "nothing: it is not there"
        self.settle_half(0.6)
        self.abandon_half()
        gone = self.now
        if self.kind == "link":
            self.path.unlink()
        return f"generation {gone.generation}{self.remove(gone)}"

    def truncate(self):
        if self.now is None or self.half:
            return self.finish_half()
        content = self.now
        os.truncate(content.path, 0)
        lost = len(self.waiting(content))
        self.destroyed(content)
        self.begin(content.path)
        self.now.read_in = content.read_in
        if self.kind == "hole":
            self.now.offset, self.now.is_holed = content.offset, content.offset > 0
        return f"generation {content.generation}, {lost} lines not arrived; the writer goes on at {self.now.offset}"

    def rewrite(self):
        """The new content begins as the old one did, and is shorter."""
        if self.now is None or self.half:
            return self.finish_half()
        if self.now.offset < 4_000 or not self.run.settle_if_possible():
            return "nothing: too short, or it would not be seen"
        former = self.now.offset
        what = self.truncate()
        self.hazard = former
        self.put(self.header())
        line = self.new_line(20)
        self.add([line], line.text.encode() + b"\n")
        return f"{what}, now with line {line.id} at the same beginning"

    # --- rotation

    def make_room(self):
        """Shifts names by one; what is too old goes."""
        held = [self.remove(old) for old in self.rotated[self.keep - 1 :]]
        if self.kind != "dated":
            for at in range(len(self.rotated), 0, -1):
                old = self.rotated[at - 1]
                suffix = ".gz" if old.path.suffix == ".gz" else ""
                old.path = old.path.rename(self.path.with_name(f"{self.path.name}.{at + 1}{suffix}"))
        self.rotations += 1
        return f", {len(held)} removed{held[0]}" if held else ""

    def rotated_name(self):
        if self.kind != "dated":
            return self.path.with_name(f"{self.path.name}.1")
        day, rest = 1 + self.rotations // 20, self.rotations % 20
        return self.path.with_name(self.path.name + self.dates.format(day, rest))

    def rotate(self):
        if self.now is None:
            return "nothing: it is not there"
        self.settle_half(0.5)
        self.leaves()
        what = self.make_room()
        self.now.path = self.now.path.rename(self.rotated_name())
        self.settle_half(0.7)  # the writer still has it open
        self.abandon_half()
        done, self.now, self.hazard = self.now, None, None
        self.rotated.insert(0, done)
        if self.kind == "loose" or self.random.random() < 0.8:
            self.make(follows=True)
        else:
            self.gone_in = self.run.epoch
        return f"generation {done.generation} to {done.path.name}{what}{'' if self.now else ', and no new file'}"

    def copytruncate(self):
        if self.now is None:
            return "nothing: it is not there"
        if self.now.is_holed:
            return "nothing: behind one hole nobody sees that there is another now, and looks for a copy"
        self.settle_half(0.8)
        self.leaves(is_traceless=True)
        what = self.make_room()
        copy = Content(self, self.now.generation, self.rotated_name())
        copy.ids = list(self.now.ids)
        shutil.copyfile(self.now.path, copy.path)
        self.rotated.insert(0, copy)
        self.abandon_half()
        return f"copied to {copy.path.name}{what}, {self.now.offset} bytes; {self.truncate()}"

    def compress(self):
        plain = [content for content in self.rotated if content.path.suffix != ".gz"]
        if not plain:
            return "nothing: nothing is rotated"
        content = self.random.choice(plain)
        packed = content.path.with_name(content.path.name + ".gz")
        with open(content.path, "rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        shutil.copystat(content.path, packed)  # as gzip does
        content.path.unlink()
        content.path, content.read_in = packed, None
        return f"generation {content.generation} to {packed.name}"

    def move(self):
        """To a name that has nothing to do with the log's."""
        if self.now is None:
            return "nothing: it is not there"
        self.settle_half(1)
        self.leaves(is_traceless=True)
        for old in [content for content in self.rotated if content.path.name.startswith("moved-")]:
            self.remove(old)
        self.now.path = self.now.path.rename(self.path.with_name(f"moved-{self.serial}-{self.name}"))
        self.rotated.insert(0, self.now)
        done, self.now = self.now, None
        self.make(follows=True)
        return f"generation {done.generation} to {done.path.name}"

    def swap(self):
        """The link leads to a new file. Of one that nobody read of, nothing tells that it ever was the log's."""
        if self.now is None:
            return "nothing: it is not there"
        self.settle_half(0.7)
        self.leaves(is_traceless=True)
        self.abandon_half()
        self.rotated.insert(0, self.now)
        held = [self.remove(old) for old in self.rotated[self.keep :]]
        self.make(follows=True)
        return f"to {self.now.path.name}, {len(held)} removed"

    def wipe(self):
        """Its directory goes, and all that is in it."""
        self.settle_half(0.5)
        self.abandon_half()
        for content in self.linked():
            self.remove(content)


def weights(kind):
    return list(KINDS[kind]), list(KINDS[kind].values())


def place(root, kind, number):
    """(directory, pattern) of a log of this kind."""
    return {
        "loose": (root / "loose", f"{root}/loose/*.log*"),
        "link": (root / "links", f"{root}/links/*.log"),
        "plain": (root / "deep" / str(number % 3), f"{root}/deep/**/*.log"),
    }.get(kind, (root / "logs", f"{root}/logs/*.log"))


def patterns(root):
    return sorted({place(pathlib.Path(root), kind, 0)[1] for kind in KINDS})
