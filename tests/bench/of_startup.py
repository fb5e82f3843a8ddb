"""What starting costs: whole processes beside a Python that only imports what must be imported.

A start takes a few hundredths of a second, so there are four times as many runs as of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from statistics import median

from pvreplay.modelfile import write_snapshot
from tests.bench.lines import Line, by_turns, spread
from tests.bench.process import ROOT, pvreplay, run

TRACE = str(ROOT / "traces" / "pingpong23.txt")
CASES = (
    ("start, --version", ["--version"], "import click", 1.3),
    ("start, run to JSON", ["run", TRACE, "--format", "json"], "import click, msgspec", 1.4),
    ("start, run to text", ["run", TRACE], "import click, msgspec, rich.console, rich.table", 1.4),
)
"""What, arguments, what the peer does, goal."""
TIMES = 4


def seconds(command: list[str]) -> float:
    """How long the whole process takes."""
    return run(command).seconds


def measure(runs: int) -> Iterator[Line]:
    """A line a case; costs, so lower is better."""
    write_snapshot()  # of the model files as they are now, as every build makes it
    for what, arguments, imports, goal in CASES:
        ours, theirs = pvreplay(*arguments), [sys.executable, "-c", imports]
        run(ours)  # once unmeasured: files come from the disk
        mine, peers = by_turns(TIMES * runs, partial(seconds, ours), partial(seconds, theirs))
        yield Line(
            what=what,
            unit="ms",
            ours=median(mine) * 1000,
            peer=median(peers) * 1000,
            peer_name=f"python -c '{imports}'",
            better="lower",
            goal=goal,
            spread=spread(mine),
            notes=[f"{TIMES * runs} runs"],
        )
