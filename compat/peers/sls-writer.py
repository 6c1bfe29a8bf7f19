"""Puts numbered logs with the Python SDK for ever: `sls-writer.py NAME FILE`. A number goes to FILE when its put was answered 200,
and only then; one that failed is put again."""

import os
import sys
import time

from aliyun.log import LogClient, LogException, LogItem, PutLogsRequest

name, path = sys.argv[1:3]
client = LogClient(f"http://{os.environ['ENDPOINT']}", os.environ["KEY_ID"], os.environ["KEY_SECRET"])
number = 0
with open(path, "a") as answered:
    while True:
        item = LogItem(int(time.time()), [("writer", name), ("n", str(number)), ("padding", "x" * 200)])
        try:
            client.put_logs(PutLogsRequest(os.environ["PROJECT"], os.environ["LOGSTORE"], name, "writer", [item]))
        except LogException:
            continue
        answered.write(f"{number}\n")
        answered.flush()
        number += 1
