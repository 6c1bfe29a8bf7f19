"""The Python SDK's consumer library: `sls-consumer.py NAME FILE` reads all shards it is given until it is ended.

Each record's number goes to FILE, one a line with its shard and whether a checkpoint was kept since: `{"shard", "n"}` and
`{"kept": CURSOR, "shard"}`. A line is written before the checkpoint is, so that a kill between the two shows.
"""

import json
import logging
import os
import sys

from aliyun.log.consumer import ConsumerProcessorBase, ConsumerWorker, CursorPosition, LogHubConfig


class Keep(ConsumerProcessorBase):
    def process(self, log_groups, tracker):
        for group in log_groups.LogGroups:
            for log in group.Logs:
                pairs = {content.Key: content.Value for content in log.Contents}
                say({"shard": self.shard_id, "n": int(pairs["n"])})
        tracker.save_check_point(True)
        say({"shard": self.shard_id, "kept": tracker.get_check_point()})
        return None


def say(line):
    out.write(json.dumps(line) + "\n")
    out.flush()


logging.basicConfig(level=logging.WARNING)
name, path = sys.argv[1:3]
out = open(path, "a")
option = LogHubConfig(
    f"http://{os.environ['ENDPOINT']}", os.environ["KEY_ID"], os.environ["KEY_SECRET"], os.environ["PROJECT"], os.environ["LOGSTORE"],
    os.environ["GROUP"], name, cursor_position=CursorPosition.BEGIN_CURSOR, heartbeat_interval=2, data_fetch_interval=1,
)
ConsumerWorker(Keep, option).start(join=True)
