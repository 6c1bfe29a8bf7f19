"""Finds the tests, runs them one after the other, and closes with a table.

A suite is a module of `suites`; a test is a function `test_*(case)` in it, run in the order they are written. A suite
may have
    PEERS         names of installers it needs (debian, python, npm, go, chart); one that failed fails every test, with the reason
    OPTIONAL      a program without which the suite is not run, which is said
    TIME_LIMIT    seconds one test may take (120); in a --long run ten times as much
    around(case)  a context manager whose value is handed to each test as its second argument

In a short run a test that failed is tried once more, since peers and kernels have moods; what passed only then has a column
of its own, and its first failure stays in the output. A --long run forgives nothing.
"""

import argparse
import contextlib
import importlib
import inspect
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

from .gateway import Gateway

SUITES = [
    "operator", "query", "sls_python", "sls_cli", "sls_consumer", "sls_node", "sls_rust", "sls_collection", "clients", "forward_clients", "forward_tls",
    "forward_keys", "forward_send", "forward_faults",
    "fluent_bit_replay", "forward_fluent_bit", "docker_fluentd", "docker_native", "docker_plugin", "docker_files",
    "file_torture", "syslog_senders", "gelf_clients", "hec_clients", "take_over", "image", "packaging", "kubernetes", "custom_resources", "sidecar",
    "collection_seed", "collection_agents", "daemonset", "backend_down", "output_faults", "crash", "store_crash", "store_ttl", "store_speed",
]


SHORT_RUN = 50 * 60  # seconds after which a short run begins no test any more


class Case:
    """What a test is given: a directory of its own, the gateway, and what must be ended when it is over."""

    def __init__(self, name, directory, binary, work, long):
        self.name, self.directory, self.binary, self.work, self.long = name, directory, binary, work, long
        self._ends = contextlib.ExitStack()
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)

    def gateway(self, config=None, start=True, **options):
        """A gateway of this test, started unless said otherwise; it is ended with the test."""
        gateway = Gateway(self.binary, self.directory / options.pop("name", "gateway"), config, **options)
        self.defer(gateway.close)
        if start:
            gateway.start()
        return gateway

    def short_directory(self):
        """A directory for sockets, whose paths must fit into 107 bytes; it goes with the test."""
        path = pathlib.Path(tempfile.mkdtemp(prefix="sgs-", dir="/tmp"))
        self.defer(lambda: shutil.rmtree(path, ignore_errors=True))
        return path

    def defer(self, end):
        """Calls `end` when the test is over; the last one first."""
        self._ends.callback(end)

    def size(self, short, long):
        return long if self.long else short

    def close(self):
        self._ends.close()

    def logs(self):
        """What the programs said; gateways and engines keep files of this name as data."""
        return sorted(log for log in self.directory.rglob("*.log") if "data" not in log.relative_to(self.directory).parts)


class TimeLimit(Exception):
    pass


@contextlib.contextmanager
def time_limit(seconds):
    def expired(_signal, _frame):
        raise TimeLimit(f"the test did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tests_of(module):
    found = [(name, f) for name, f in vars(module).items() if name.startswith("test_") and inspect.isfunction(f)]
    return sorted(found, key=lambda item: item[1].__code__.co_firstlineno)


def missing_peers(module, work):
    for peer in getattr(module, "PEERS", []):
        reason = work / "missing" / peer
        if reason.exists():
            return f"peer {peer} is not installed: {reason.read_text().strip()}"
    return None


class Run:
    def __init__(self, arguments):
        self.arguments = arguments
        self.work = pathlib.Path(arguments.work).resolve()
        self.began = time.monotonic()
        self.rows = []  # (suite, passed, failed, seconds)
        self.failed = []  # (test, reason)
        self.again = []  # tests that passed at the second try

    def suite(self, name):
        module = importlib.import_module(f"suites.{name}")
        wanted = [only.partition("::")[2] for only in self.arguments.only if only.partition("::")[0] == name]
        chosen = [(test, f) for test, f in tests_of(module) if not any(wanted) or test in wanted]
        optional = getattr(module, "OPTIONAL", None)
        if optional and shutil.which(optional) is None:
            print(f"        not run: no {optional} on PATH")
            self.rows.append((f"{name} (not run)", 0, 0, 0.0))
            return
        began, passed = time.monotonic(), 0
        failures_before = len(self.failed)
        missing = missing_peers(module, self.work)
        own = self.case(f"{name}/suite")
        try:
            around = contextlib.nullcontext() if missing else getattr(module, "around", lambda _: contextlib.nullcontext())(own)
            with around as shared:
                for test, function in chosen:
                    passed += self.test(module, f"{name}::{test}", function, shared, missing)
        except Exception as error:  # the suite's own set-up failed: none of its tests ran
            traceback.print_exc()
            done = passed + len(self.failed) - failures_before
            for test, _ in chosen[done:]:
                self.fail(f"{name}::{test}", f"set-up of the suite: {error}", own)
        finally:
            own.close()
        self.rows.append((name, passed, len(self.failed) - failures_before, time.monotonic() - began))

    def test(self, module, name, function, shared, missing):
        if not self.arguments.long and time.monotonic() - self.began > SHORT_RUN:
            missing = missing or f"not begun: the run takes longer than {SHORT_RUN // 60} minutes"
        if missing:
            self.fail(name, missing, self.case(name.replace("::", "/")))
            return 0
        for is_last in [self.arguments.long, True]:
            case = self.case(name.replace("::", "/"))
            began = time.monotonic()
            reason = self.outcome(module, case, function, shared)
            if reason is None:
                print(f"ok      {name}  {time.monotonic() - began:.1f} s", flush=True)
                shutil.rmtree(case.directory, ignore_errors=True)
                return 1
            if is_last:
                break
            self.show("AGAIN ", name, reason, case)
            self.again.append(name)
        if name in self.again:
            self.again.remove(name)
        self.fail(name, reason, case)
        return 0

    def outcome(self, module, case, function, shared):
        """Why the test failed, if it did."""
        reason = None
        limit = getattr(module, "TIME_LIMIT", 120) * (10 if self.arguments.long else 1)
        try:
            with time_limit(limit):
                function(case) if shared is None else function(case, shared)
        except (Exception, TimeLimit) as error:
            reason = f"{type(error).__name__}: {error}"
            traceback.print_exc(limit=-3)
        try:
            case.close()
        except Exception as error:
            reason = reason or f"at the end: {error}"
        return reason

    def show(self, what, name, reason, case):
        print(f"{what}  {name}: {reason}", flush=True)
        for log in case.logs():
            lines = log.read_text(errors="replace").splitlines()
            print(f"  -- {log} (last of {len(lines)} lines)", *(f"     {line[:240]}" for line in lines[-15:]), sep="\n")

    def fail(self, name, reason, case):
        self.show("FAILED", name, reason, case)
        self.failed.append((name, reason))

    def case(self, name):
        return Case(name, self.work / "run" / name, self.arguments.gateway, self.work, self.arguments.long)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateway", required=True, help="the binary under test")
    parser.add_argument("--work", required=True, help="where logs and data directories go")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="SUITE[::TEST]")
    parser.add_argument("--row", action="append", default=[], metavar="NAME=ok|failed", help="a result to count in")
    arguments = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # gateways are told to reload by it, also in a run that nohup started
    unknown = [only for only in arguments.only if only.partition("::")[0] not in SUITES]
    if unknown:
        sys.exit(f"no suite {unknown[0]}; there are: {' '.join(SUITES)}")
    run = Run(arguments)
    for name in SUITES:
        if not arguments.only or any(only.partition("::")[0] == name for only in arguments.only):
            print(f"-- {name}", flush=True)
            run.suite(name)

    for name, _, result in (row.partition("=") for row in arguments.row):
        run.rows.append((name, int(result == "ok"), int(result != "ok"), 0.0))
    print(f"\n{'suite':<30}{'passed':>8}{'failed':>8}{'at the second try':>19}{'seconds':>9}")
    for name, passed, failed, seconds in run.rows:
        again = sum(test.partition("::")[0] == name for test in run.again)
        print(f"{name:<30}{passed:>8}{failed:>8}{again or '':>19}{seconds:>9.0f}")
    for name in run.again:
        print(f"passed at the second try: {name}")
    for name, reason in run.failed:
        print(f"failed: {name}: {reason.splitlines()[0][:200]}")
    failed = sum(row[2] for row in run.rows)
    print(f"{sum(row[1] for row in run.rows)} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not any(row[1] for row in run.rows) else 0)


if __name__ == "__main__":
    main()
