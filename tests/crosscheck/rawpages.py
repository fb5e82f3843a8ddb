"""Our switches of raw ring-buffer pages beside the kernel's own text of the same buffer.

    python tests/crosscheck/rawpages.py DIRECTORY

Compares NAME.rawpages (a directory) with NAME.trace.txt beside it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from switches import Switch, check, compare, our_switches

from pvreplay.sources.rawpages import open_raw

LINE = re.compile(
    rb"^.*\[(\d+)\] +\S+ +\d+\.\d+: sched_switch: prev_comm=(.*) prev_pid=(\d+) prev_prio=-?\d+ "
    rb"prev_state=\S+ ==> next_comm=(.*) next_pid=(\d+) next_prio="
)


def one(header: Path) -> bool:
    """Compare one directory, found by its header_page."""
    directory = header.parent
    text = directory.with_suffix(".trace.txt")
    if directory.suffix != ".rawpages" or not text.exists():
        return True
    theirs: list[Switch] = []
    for line in text.read_bytes().split(b"\n"):
        match = LINE.match(line)
        if match:
            cpu, prev_comm, prev, next_comm, following = match.groups()
            theirs.append((int(cpu), int(prev), int(following), prev_comm, next_comm))
    return compare(directory.name, our_switches(open_raw(str(directory))), theirs)


if __name__ == "__main__":
    sys.exit(check(sys.argv, ("header_page",), one))
