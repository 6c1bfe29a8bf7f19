"""rsyslog and syslog-ng from Debian, unpacked beside each other (Debian installs only one of them, and a machine may run
its own): each with one configuration, a Unix socket to write into, and what it forwards to."""

import os
import pathlib
import socket
import subprocess
import time

from .wait import wait_until

LIBRARIES = tuple(
    f"{base}/{machine}" for base in ("usr/lib", "lib") for machine in ("x86_64-linux-gnu", "aarch64-linux-gnu", "syslog-ng")
)


def root(case):
    return case.work / "syslog-peers"


class SyslogDaemon:
    """A process in the foreground that reads the socket `source` and forwards."""

    def __init__(self, case, name, command, configuration):
        directory = case.short_directory()
        self.source, self._log = directory / "in.sock", case.directory / f"{name}.log"
        file = directory / f"{name}.conf"
        file.write_text(configuration(directory, self.source))
        at = root(case)
        libraries = ":".join(str(at / path) for path in LIBRARIES)
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [str(at / command[0]), *(word.format(root=at, file=file, directory=directory) for word in command[1:])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "LD_LIBRARY_PATH": libraries},
            )
        case.defer(self.stop)
        wait_until(f"{name} listens", lambda: self.process.poll() is not None or self.source.exists(), 20)
        if self.process.poll() is not None:
            raise AssertionError(f"{name} ended with {self.process.returncode}: {self._log.read_text()[-500:]}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.connect(str(self.source))

    def write(self, lines, program="shop"):
        """As a program's syslog(3) does; it waits where the daemon is busy."""
        for line in lines:
            text = line if isinstance(line, bytes) else line.encode()
            self._socket.send(time.strftime("<134>%b %e %H:%M:%S ").encode() + program.encode() + b"[77]: " + text)

    def stop(self):
        """It sends what it holds, and ends."""
        self._socket.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


def rsyslog(case, output, ca=None):
    """`output` is the action in rsyslog's own words."""
    modules = next((root(case) / path / "rsyslog" for path in LIBRARIES if (root(case) / path / "rsyslog").exists()), pathlib.Path("/"))

    def configuration(directory, source):
        authority = f' DefaultNetstreamDriverCAFile="{ca}"' if ca else ""
        return f"""
global(workDirectory="{directory}" localHostname="db-1"{authority} parser.escapeControlCharactersOnReceive="off" maxMessageSize="64k")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{source}" RateLimit.Interval="0" UseSysTimeStamp="off")
{output}
"""

    command = ["usr/sbin/rsyslogd", "-n", "-C", "-f", "{file}", "-i", "{directory}/pid", "-M", str(modules)]
    return SyslogDaemon(case, "rsyslog", command, configuration)


def syslog_ng(case, destination):
    """`destination` is a driver of a destination, such as network(...)."""

    def configuration(_directory, source):
        return f"""@version: 3.38
options {{ flush-lines(100); stats-freq(0); time-reopen(1); keep-hostname(yes); }};
source in {{ unix-dgram("{source}" flags(no-multi-line)); }};
destination out {{ {destination}; }};
log {{ source(in); destination(out); flags(flow-control); }};
"""

    command = [
        "usr/sbin/syslog-ng", "-F", "-f", "{file}", "--persist-file={directory}/persist", "--control={directory}/ctl",
        "--pidfile={directory}/pid", "--no-caps", "--module-path=" + modules_of_syslog_ng(case),
        "--cfgfile={file}", "--stderr",
    ]
    return SyslogDaemon(case, "syslog-ng", command, configuration)


def modules_of_syslog_ng(case):
    return ":".join(str(path) for path in (root(case) / "usr/lib/syslog-ng").glob("[0-9]*"))
