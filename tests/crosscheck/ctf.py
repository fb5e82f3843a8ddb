"""Our switches of CTF traces beside the text of babeltrace2.

    python tests/crosscheck/ctf.py DIRECTORY

Every directory below with a file called metadata is compared.  The text escapes names, so only CPU
and pids are.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from switches import Switch, check, compare, our_switches

from pvreplay.sources.ctf import CtfSource, find_bindings

LINE = re.compile(
    r"sched_switch: .*?(?:cpu_id|perf_cpu) = (\d+).*?prev_[tp]id = (\d+),.*next_[tp]id = (\d+),"
)


def one(metadata: Path) -> bool:
    """Compare one trace."""
    directory = str(metadata.parent)
    text = subprocess.run(["babeltrace2", directory], capture_output=True, check=False).stdout
    theirs: list[Switch] = []
    for line in text.decode("utf-8", "replace").splitlines():
        found = LINE.search(line)
        if found:
            cpu, prev, following = map(int, found.groups())
            theirs.append((cpu, prev, following, b"", b""))
    source = CtfSource(directory, find_bindings(directory))
    ours: list[Switch] = [(cpu, prev, then, b"", b"") for cpu, prev, then, _, _ in our_switches(source)]
    return compare(metadata.parent.name, ours, theirs)


if __name__ == "__main__":
    sys.exit(check(sys.argv, ("metadata",), one))
