"""Waiting on conditions. Nothing in the suites sleeps for a time and hopes; a time-out here is a failed test."""

import time


def wait_until(what, condition, timeout=30.0, every=0.05):
    """Calls `condition` until it returns something true, and returns that. Exceptions count as "not yet"."""
    deadline = time.monotonic() + timeout
    while True:
        seen = None
        try:
            seen = condition()
            if seen:
                return seen
        except Exception as error:  # a port that is not open yet, an answer that is not complete yet
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s; last seen: {str(seen)[:400]!r}")
        time.sleep(every)


def equal(what, got, want):
    """An assertion that shows both sides, shortened."""
    if got != want:
        raise AssertionError(f"{what}: got {_short(got)}, want {_short(want)}")


def _short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-80:]} ({len(text)} characters)"
