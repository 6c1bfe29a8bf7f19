"""Queries the embedded Log Service with the official Python SDK, unmodified.

The SDK puts the project in front of the endpoint's name, so the service is reached through the proxy setting with an
invented name, as the README tells its users. This client alone is diverted, not the whole process.
"""

import time

from aliyun.log import LogClient

from .wait import equal, wait_until

PROJECT = "sluicegate"
ENDPOINT = "http://cn-local.log.local"
PAGE = 100  # the most that GetLogs returns


class LogService:
    def __init__(self, port, key_id, secret, project=PROJECT):
        self.client = LogClient(ENDPOINT, key_id, secret)
        self.client._session.proxies = {"http": f"http://127.0.0.1:{port}"}
        self.project = project

    def page(self, query="*", logstore="default", offset=0, size=PAGE, reverse=False, since=None, until=None):
        """One answer of GetLogs as flat dicts, in the order of the service."""
        now = int(time.time())
        answer = self.client.get_log(
            self.project, logstore, now - 3600 if since is None else since, until or now + 3600, query=query, offset=offset,
            size=size, reverse=reverse,
        )
        return [{**log.contents, "__time__": log.timestamp, "__source__": log.source} for log in answer.get_logs()]

    def search(self, query="*", logstore="default", **options):
        """All answers, page by page."""
        found = []
        while True:
            page = self.page(query, logstore, offset=len(found), **options)
            found += page
            if len(page) < PAGE:
                return found

    def holds(self, count, query="*", logstore="default"):
        """Whether at least so many records are there; asks for the last of them instead of all."""
        return count == 0 or len(self.page(query, logstore, offset=count - 1, size=1)) > 0

    def logstores(self):
        return self.client.list_logstore(self.project).get_logstores()


def numbered(gateway, topic, count):
    """The records of a topic by their number, once all are there; each number once."""
    logs, query = gateway.log_service(), f'__topic__: "{topic}"'
    wait_until(f"{count} records of {topic}", lambda: logs.holds(count, query), 30, 0.1)
    found = logs.search(query)
    equal(f"numbers of {topic}, each once", sorted(int(r["number"]) for r in found), list(range(count)))
    return {int(r["number"]): r for r in found}
