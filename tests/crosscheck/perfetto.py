"""Our switches of Perfetto traces beside those of the raw pages they were made from.

    python tests/crosscheck/perfetto.py DIRECTORY

DIRECTORY/perfetto-converted/NAME.FORM.pftrace is compared with DIRECTORY/*/NAME.rawpages, up to the
number of switches of each CPU it holds.  compact_sched has no previous task.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from switches import Switch, check, compare, our_switches

from pvreplay.sources.perfetto import PerfettoSource
from pvreplay.sources.rawpages import open_raw


def one(path: Path) -> bool:
    """Compare one trace."""
    pages = next(Path(sys.argv[1]).glob(f"*/{path.name.split('.')[0]}.rawpages"), None)
    ours = our_switches(PerfettoSource(str(path)))
    if pages is None:
        print(f"{path.name:40.40}  {len(ours):8}")
        return bool(ours)
    room = Counter(switch[0] for switch in ours)
    theirs: list[Switch] = []
    compact = "compact" in path.name
    for cpu, prev, following, prev_comm, next_comm in our_switches(open_raw(str(pages))):
        if not room[cpu]:
            continue
        room[cpu] -= 1
        if compact:
            theirs.append((cpu, 0, following, b"", next_comm))
        else:
            theirs.append((cpu, prev, following, prev_comm, next_comm))
    return compare(path.name, ours, theirs)


if __name__ == "__main__":
    sys.exit(check(sys.argv, (".pftrace",), one))
