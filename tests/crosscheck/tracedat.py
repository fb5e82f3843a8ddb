"""Our switches of every trace.dat below a directory beside those of `trace-cmd report`.

    python tests/crosscheck/tracedat.py DIRECTORY

Needs trace-cmd.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from switches import Switch, check, compare, our_switches

from pvreplay.sources.tracedat import open_raw

LINE = re.compile(
    rb"^.*\[(\d+)\] *\d+\.?\d*: sched_switch: +prev_comm=(.*) prev_pid=(\d+) prev_prio=-?\d+ prev_state=\S+ "
    rb"next_comm=(.*) next_pid=(\d+) next_prio="
)


def comm(printed: bytes) -> bytes:
    """A comm as raw output prints it: one that is not ASCII becomes ARRAY[hex, ...]."""
    if printed.startswith(b"ARRAY["):
        return bytes(int(byte, 16) for byte in printed[6:-1].split(b", ")).split(b"\0", 1)[0]
    return printed


def their_switches(path: Path) -> list[Switch]:
    """What trace-cmd report -R prints."""
    command = ["trace-cmd", "report", "-R", "-F", "sched_switch", str(path)]
    found: list[Switch] = []
    for line in subprocess.run(command, capture_output=True).stdout.split(b"\n"):
        match = LINE.match(line)
        if match:
            cpu, prev_comm, prev, next_comm, following = match.groups()
            found.append((int(cpu), int(prev), int(following), comm(prev_comm), comm(next_comm)))
    return found


def one(path: Path) -> bool:
    """Compare one file."""
    return compare(path.name, our_switches(open_raw(str(path))), their_switches(path))


if __name__ == "__main__":
    sys.exit(check(sys.argv, (".dat",), one))
