"""Ten million records of a web service, or fewer: as LogGroups for PutLogs and as the same in JSON lines, for others to search.

```text
level     info 80 %, warn 15 %, error 5 %      latency   0 to 4999
status    200 85 % ... 400 2 % ... 503 1 %     user      100,000 of them
path      300 of them                          trace     its own for each record
msg       22 words of 5,000; in one record of 100,000 the word `needle`, in the first the word `singleton`
```

All of it is the same in every run. Records are spread evenly over a day that ends now.
"""

import random
import time

RECORDS_PER_GROUP = 2000
DAY = 86_400
LEVELS = ["info"] * 80 + ["warn"] * 15 + ["error"] * 5
STATUSES = [200] * 85 + [201] * 3 + [204] * 3 + [301] * 2 + [400] * 2 + [404] * 2 + [500] + [502] + [503]


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def content(key, value):
    """A field of a Log, protobuf."""
    key, value = key.encode(), value.encode()
    inner = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(value)) + value
    return b"\x12" + varint(len(inner)) + inner


class ServiceLogs:
    def __init__(self, records):
        self.groups = -(-records // RECORDS_PER_GROUP)
        self.records = self.groups * RECORDS_PER_GROUP
        self.since = int(time.time()) - DAY
        choose = random.Random(7)
        self.words = ["".join(choose.choices("abcdefghijklmnopqrstuvwxyz", k=choose.randint(3, 10))) for _ in range(5000)]
        self.halves = [" ".join(choose.choices(self.words, k=11)) for _ in range(50_000)]
        self.paths = [f"/api/v1/{word}" for word in self.words[:300]]
        self.phrase = " ".join(self.halves[11].split()[3:5])
        self._choose = choose
        self._fixed = {
            key: {value: content(key, str(value)) for value in values}
            for key, values in [("level", set(LEVELS)), ("status", set(STATUSES)), ("path", self.paths)]
        }

    def group(self, number):
        """(LogGroup as bytes, JSON lines as bytes)"""
        logs, lines, fixed, choose = [], [], self._fixed, self._choose
        for at in range(number * RECORDS_PER_GROUP, (number + 1) * RECORDS_PER_GROUP):
            seconds = self.since + at * (DAY - 60) // self.records
            level, status, path = LEVELS[at * 37 % 100], STATUSES[at * 7919 % 101 % 100], self.paths[at * 31 % 300]
            latency, user, trace = str(at * 7919 % 5000), f"u{at * 104729 % 100_000:06}", f"{at * 0x9E3779B97F4A7C15 % (1 << 64):016x}"
            msg = f"{choose.choice(self.halves)} {choose.choice(self.halves)}"
            if at % 100_000 == 0:
                msg += " needle" if at else " needle singleton"
            body = b"".join([
                b"\x08", varint(seconds), fixed["level"][level], fixed["status"][status], fixed["path"][path],
                content("latency", latency), content("user", user), content("trace", trace), content("msg", msg),
            ])
            logs.append(b"\x0a" + varint(len(body)) + body)
            lines.append(
                f'{{"_time":{seconds},"level":"{level}","status":"{status}","path":"{path}","latency":"{latency}",'
                f'"user":"{user}","trace":"{trace}","msg":"{msg}"}}\n'
            )
        pack = f"0123456789ABCDEF-{number:X}".encode()
        tag = b"\x0a\x0b__pack_id__\x12" + varint(len(pack)) + pack
        return b"".join(logs) + b"\x22\x0810.0.0.9\x32" + varint(len(tag)) + tag, "".join(lines).encode()
