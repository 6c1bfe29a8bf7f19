"""A live Fluent Bit, where one is on PATH, with one input and one `forward` output.

It is given its configuration as YAML (JSON is YAML), flushes each 0.2 s and retries after 1 to 2 s instead of 5 to 10.
"""

import contextlib
import json
import shutil
import subprocess

PROGRAM = shutil.which("fluent-bit")


@contextlib.contextmanager
def fluent_bit(case, name, source, **output):
    """Runs while the caller looks at what arrives. `source` is the input with its tag; keys of `output` may have `__` for a dot."""
    log = case.directory / f"fluent-bit-{name}.log"
    config = log.with_suffix(".yaml")
    output = {key.replace("__", "."): value for key, value in output.items()}
    config.write_text(json.dumps({
        "service": {"flush": 0.2, "grace": 1, "scheduler.base": 1, "scheduler.cap": 2, "log_level": "info"},
        "pipeline": {
            "inputs": [source],
            "outputs": [{"name": "forward", "match": "*", "host": "127.0.0.1", "retry_limit": "no_limits", **output}],
        },
    }))
    with open(log, "wb") as sink:
        process = subprocess.Popen([PROGRAM, "-c", str(config)], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def dummy(tag, count=1, record=None, **keys):
    """The input that makes `count` equal records, 50 a second."""
    record = {"log": "from fluent bit", "nested": {"a": [1, None]}} if record is None else record
    return {"name": "dummy", "tag": tag, "samples": count, "rate": 50, "dummy": json.dumps(record), **keys}
