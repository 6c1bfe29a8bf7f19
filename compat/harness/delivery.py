"""What a container writes to find out what its log driver does with it, and the account of what arrived.

```text
begin / binary / empty x3 / 1 MiB / wide       once, at the start, on stdout
out N, err N                                   numbered, both streams mixed; every 500th of stdout has 40 KiB
end                                            on stdout
```

The 40 KiB lines have a character across each of Docker's cuts at 16 KiB.
"""

import collections
import dataclasses
import random
import re

PIECE = 16 * 1024
MEBI = 1024 * 1024
EMPTY = 3
BURST = 20  # numbered lines between two rests of the container; the last one of it goes to stderr
LONG_EVERY = 500
BINARY = b"binary \x01\xff\xfe\t\x7f end"
BINARY_TEXT = "binary \x01\ufffd\ufffd\t\x7f end"
NUMBERED = re.compile(r"(out|err) (\d+)(?: (.*))?$", re.DOTALL)


def long_text(prefix=0):
    """40 KiB with a character across each 16 KiB cut, where `prefix` bytes come before it on its line."""
    chooser, line, size = random.Random(16384), [], prefix
    while size < prefix + 40 * 1024:
        to_cut = -size % PIECE
        character = "你" if to_cut in (1, 2) else "😀" if to_cut == 3 else chooser.choice("aé你😀")
        line.append(character)
        size += len(character.encode())
    return "".join(line)


def long_number(number):
    """A long line's head has always the same length, so that its cuts are in the middle of characters."""
    return f"out {number:08d} "


LONG = long_text(len(long_number(0)))
MEGA = "m" * (MEBI - 4) + "mega"


def write_files(directory):
    """What the script below prints from files."""
    (directory / "special").write_bytes(b"begin\n" + BINARY + b"\n" * (1 + EMPTY) + MEGA.encode() + b"\n")
    (directory / "long").write_text(LONG + "\n")


def script(each, streams, pause=0.0):
    """Prints all of it: `each` numbered lines, in bursts with a rest between. After two fifths it makes /mnt/at-NAME, and
    waits for /mnt/back before the last fifth; so what happens between the two happens in its middle. Ends on /mnt/go."""
    err = "echo err $n >&2" if streams == 2 else "echo err $n"
    rest = f"usleep {int(pause * 1_000_000)}" if pause else ":"
    return f"""
cat /mnt/special; i=0
while [ $i -lt {each} ]; do
  seq $((i + 1)) $((i + {BURST - 1})) | sed 's/^/out /'
  n=$((i + {BURST})); {err}
  i=$n
  if [ $((i % {LONG_EVERY})) = 0 ]; then printf 'out %08d ' $i; cat /mnt/long; fi
  if [ $i = {middle(each)} ]; then touch /mnt/at-$NAME; fi
  if [ $i = {late(each)} ]; then while [ ! -e /mnt/back ]; do usleep 20000; done; fi
  {rest}
done
echo end
touch /mnt/ended-$NAME
while [ ! -e /mnt/go ]; do usleep 50000; done
"""


def middle(each):
    return each * 2 // 5 // BURST * BURST


def late(each):
    return each * 4 // 5 // BURST * BURST


def long_lines(each):
    return each // LONG_EVERY


def expected(each, drops_empty):
    """Every line that a container writes, by its name."""
    wanted = {"begin": 1, "binary": 1, "mega": 1, "end": 1, "empty": 0 if drops_empty else EMPTY}
    for first in range(0, each, BURST):
        wanted.update({f"out {number}": 1 for number in range(first + 1, first + BURST)})
        wanted[f"err {first + BURST}"] = 1
    wanted.update({f"out {number}": 1 for number in range(LONG_EVERY, each + 1, LONG_EVERY)})
    return collections.Counter(wanted)


def same(got, want, marks_bytes):
    """Whether a long line is whole. Where the driver marks broken characters, those across a cut are other ones."""
    if not marks_bytes:
        return got == want
    kept = re.sub("\ufffd+", "\ufffd", got).split("\ufffd")
    at = 0
    for part in kept:  # all that was kept is there in its order, and hardly anything misses
        found = want.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(want) - sum(map(len, kept)) <= 3


@dataclasses.dataclass
class Account:
    """Of one row: sums over its containers."""

    sent: int = 0
    arrived: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    long: int = 0  # lines longer than a piece
    joined: int = 0  # of these, came whole in one record
    pieces: int = 0  # records that are part of a line
    missing: list = dataclasses.field(default_factory=list)  # some of what was lost, for the reader

    COLUMNS = ("sent", "arrived", "lost", "duplicated", "out of order", "joined", "pieces")

    def row(self):
        return (self.sent, self.arrived, self.lost, self.doubled, self.disordered, f"{self.joined}/{self.long}", self.pieces)

    def add(self, records, each, driver):
        """Counts one container's records, in the order of a query."""
        wanted, came, last = expected(each, driver.drops_empty), collections.Counter(), collections.Counter()
        for record in records:
            name, whole = identify(record.get("log", ""), driver.marks_bytes)
            if name is None or name not in wanted:
                self.pieces += 1
                continue
            came[name] += 1
            if whole is not None:
                self.joined += whole and came[name] == 1
                self.pieces += not whole
            stream, _, number = name.partition(" ")
            if number and came[name] == 1:
                # a long line comes behind the err line of its number, and streams have no order between them
                self.disordered += int(number) < last[stream]
                last[stream] = max(last[stream], int(number))
        lost = wanted - came
        self.sent += wanted.total()
        self.arrived += came.total()
        self.lost += lost.total()
        self.doubled += (came - wanted).total()
        self.long += long_lines(each) + 1
        self.missing += list(lost)[: 10 - len(self.missing)]


def identify(text, marks_bytes):
    """(name of the line, whether it came whole if it is a long one); (None, None) for what is no whole line."""
    if match := NUMBERED.match(text):
        name, rest = f"{match[1]} {int(match[2])}", match[3]
        if rest is not None:
            return name, same(rest, LONG, marks_bytes)
        return (name, None) if len(match[2]) < 8 else (name, False)
    if text in ("begin", "end"):
        return text, None
    if text == "":
        return "empty", None
    if text.startswith("mm"):
        return ("mega", True) if text == MEGA else ("mega", False) if text.endswith("mega") else (None, None)
    if text.startswith("binary"):
        return ("binary", None) if text == BINARY_TEXT else (None, None)
    return None, None


def table(title, rows):
    """Lines of text; `rows` are (name, Account)."""
    head = ("driver", *Account.COLUMNS)
    body = [(name, *map(str, account.row())) for name, account in rows]
    widths = [max(len(line[at]) for line in [head, *body]) for at in range(len(head))]
    lines = [title]
    for line in [head, *body]:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    return lines
