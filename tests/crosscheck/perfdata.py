"""Our switches of every perf.data below a directory beside those of `perf script`; directories of
perf record --threads, too.

    python tests/crosscheck/perfdata.py DIRECTORY

Needs perf.  A file perf itself cannot read ("incompatible file format", record type 83) counts as
having no switch there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from switches import Switch, check, compare, our_switches

from pvreplay.sources.detect import open_trace
from pvreplay.sources.perfdata import PerfData, sniff
from pvreplay.sources.perfdir import sniff_directory
from pvreplay.sources.recover import RecoveredTrace

LINE = re.compile(
    rb"^.*?\s-?\d+ \[(\d+)\] +\d+\.\d+: +sched:sched_switch: prev_comm=(.*) prev_pid=(\d+) prev_prio=-?\d+ "
    rb"prev_state=\S+ ==> next_comm=(.*) next_pid=(\d+) next_prio="
)


def their_switches(path: Path) -> list[Switch]:
    """What perf script prints."""
    printed = subprocess.run(["perf", "script", "-f", "-i", str(path)], capture_output=True).stdout
    found: list[Switch] = []
    for line in printed.split(b"\n"):
        match = LINE.match(line)
        if match:
            cpu, prev_comm, prev, next_comm, following = match.groups()
            found.append((int(cpu), int(prev), int(following), prev_comm, next_comm))
    return found


def one(path: Path) -> bool:
    """Compare one file, or the directory it is of."""
    if path.name == "data":
        if not sniff_directory(str(path.parent)):
            return True
        trace = open_trace(str(path.parent))
        assert isinstance(trace, RecoveredTrace)
        return compare(path.parent.name + "/", our_switches(trace.source), their_switches(path.parent))
    with path.open("rb") as file:
        if not sniff(file.read(16)):
            return True
    return compare(path.name, our_switches(PerfData(str(path))), their_switches(path))


if __name__ == "__main__":
    sys.exit(check(sys.argv, (".data", "data"), one))
