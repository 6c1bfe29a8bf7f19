"""Numbered lines that a test writes to files, and the account of what a Log Service got of them.

```text
line       42 access 3.17 xxxxxxxxxxxx~        id of the line | log | generation.number | filling | its end
```

A record is worth nothing unless its text is exactly a line's: one that is torn, glued to another or of no line is a fault; the
beginning of a line whose rest was destroyed is a fragment.
A LogGroup that comes again with the pack_id it had is the same one, sent again after a kill or an answer that was lost; it
counts by itself. Any other second coming of a line is a duplicate.

Each line has a fate, which whoever writes it changes when the bytes are destroyed: MUST arrive, or may be lost because it was
DESTROYED before anybody could read it, or because its file had left the SIGHT of a reader that did not know it yet.
"""

import collections

MUST, DESTROYED, SIGHT = "must arrive", "destroyed unread", "out of sight"
# Lines that begin so are nobody's: the same beginning of many files.
HEADER = "#"


class Line:
    __slots__ = ("id", "log", "generation", "number", "text", "epoch", "fate", "abandoned")

    def __init__(self, id, log, generation, number, filling, epoch):
        self.id, self.log, self.generation, self.number, self.epoch = id, log, generation, number, epoch
        self.text = f"{id} {log} {generation}.{number} {filling}~"
        self.fate = MUST
        self.abandoned = None  # the text of its first part, where nothing will ever follow

    def __repr__(self):
        return f"line {self.id} ({self.log} {self.generation}.{self.number}, {len(self.text)} bytes)"


class Ledger:
    def __init__(self, service):
        self.service = service
        self.lines = []
        self.waiting = {}  # id -> Line: whole in a file, and not arrived
        self.came = {}  # id -> pack_id of its first coming
        self.fragments = self.resent = self.headers = 0
        self.twice, self.faults = [], []
        self.on_arrival = lambda line: None
        self._packs, self._series, self._read = {}, collections.OrderedDict(), 0

    # --- what is written

    def line(self, log, generation, number, filling="", epoch=0):
        """A new line. It is not waited for until it is `whole`."""
        line = Line(len(self.lines), log, generation, number, filling, epoch)
        self.lines.append(line)
        return line

    def whole(self, line):
        """Its last byte is in a file."""
        self.waiting[line.id] = line

    # --- what came

    def catch_up(self):
        """Takes what the service accepted since the last call."""
        groups = self.service.groups  # grows at its end alone
        while self._read < len(groups):
            self._group(groups[self._read][1])
            self._read += 1

    def _group(self, group):
        tags = {tag.Key: tag.Value for tag in group.LogTags}
        pack, logs = tags["__pack_id__"], [{c.Key: c.Value for c in log.Contents} for log in group.Logs]
        texts = [log.get("log", "") for log in logs]
        if pack in self._packs:
            if self._packs[pack] != hash(tuple(texts)):
                self.faults.append((f"LogGroup {pack} came twice with different records", None))
            self.resent += 1
            return
        self._packs[pack] = hash(tuple(texts))
        prefix, _, sequence = pack.rpartition("-")
        ids = [line.id for text in texts if (line := self._record(text, pack, tags)) is not None]
        self._series.setdefault(prefix, {})[int(sequence, 16)] = ids

    def _record(self, text, pack, tags):
        if text.startswith(HEADER):
            self.headers += 1
            return None
        head = text.partition(" ")[0]
        line = self.lines[int(head)] if head.isdecimal() and int(head) < len(self.lines) else None
        if line is None:
            path = tags.get("__path__", "")
            name = path.rpartition("/")[2].partition(".log")[0]
            self.faults.append((f"a record of no line: {text[:100]!r} ({len(text)} characters) in {path}", name))
            return None
        if text != line.text:
            # Of a line that was destroyed, what had been read of it is kept.
            if text == line.abandoned or (line.fate == DESTROYED and line.text.startswith(text)):
                self.fragments += 1
            else:
                self.faults.append((f"{line} is torn: {text[:60]!r} ... {text[-60:]!r} ({len(text)} characters)", line.log))
            return None
        if line.id in self.came:
            self.twice.append((line, self.came[line.id], pack))
            return None
        self.came[line.id] = pack
        self.waiting.pop(line.id, None)
        self.on_arrival(line)
        return line

    # --- the account

    def required(self):
        """Lines that must arrive and have not."""
        return [line for line in list(self.waiting.values()) if line.fate == MUST]

    def out_of_order(self):
        """Lines that came behind a later one of their log's generation: in the order of their series, which is that of the
        sequence in the pack_id."""
        last, found = collections.defaultdict(int), []
        for packs in self._series.values():
            for _, ids in sorted(packs.items()):
                for line in (self.lines[id] for id in ids):
                    place = (line.log, line.generation)
                    if line.number < last[place]:
                        found.append(line)
                    last[place] = max(last[place], line.number)
        return found

    def row(self):
        """Figures by name, for a table."""
        fates = collections.Counter(line.fate for line in self.lines)
        missing = collections.Counter(line.fate for line in self.waiting.values())
        return {
            "lines": len(self.came) + len(self.waiting), "arrived": len(self.came), "lost": missing[MUST],
            "destroyed unread": fates[DESTROYED], "of those lost": missing[DESTROYED],
            "out of sight": fates[SIGHT], "lost of those": missing[SIGHT],
            "duplicated": len(self.twice), "out of order": len(self.out_of_order()), "torn": len(self.faults),
            "fragments": self.fragments, "resent groups": self.resent,
        }

    def complaint(self):
        """What is wrong so far beyond what is missing, and the log it is about; None where all is well."""
        if self.faults:
            return self.faults[0]
        if self.twice:
            line, first, second = self.twice[0]
            return f"{len(self.twice)} lines came twice, the first is {line}: in {first} and in {second}", line.log
        return None


def table(rows):
    """Lines of text; `rows` are dicts with the same keys."""
    head = list(rows[0])
    body = [[str(row[key]) for key in head] for row in rows]
    widths = [max(len(line[at]) for line in [head, *body]) for at in range(len(head))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *body]]
