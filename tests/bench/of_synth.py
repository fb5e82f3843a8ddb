"""`pvreplay synth` beside the rate it must have: every workload, written as trace.bin with checksums.

There is no peer that runs beside it, so what counts is CPU time of the whole process.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from pvreplay.synth import workload_names
from tests.bench.lines import Line, spread
from tests.bench.process import pvreplay, run

LIMIT = 10.0
"""Million events a second."""


def events_of(path: Path) -> int:
    """How many events a trace.bin has."""
    return int(json.loads(run(pvreplay("info", str(path), "--format", "json")).output)["events"])


def measure(runs: int, events: int = 20_000_000) -> Iterator[Line]:
    """One line: the slowest workload, the others in its notes; each makes about *events*."""
    rates: list[tuple[float, float, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.bin"
        for name in workload_names():
            few = 10_000
            run(pvreplay("synth", name, "--switches", str(few), "--seed", "1", "-o", str(path)))
            switches = few * events // events_of(path)
            command = pvreplay("synth", name, "--switches", str(switches), "--seed", "1", "-o", str(path))
            taken = [run(command).cpu_seconds for _ in range(runs)]
            rates.append((events_of(path) / median(taken) / 1e6, spread(taken), name))
    rates.sort()
    rate, width, name = rates[0]
    yield Line(
        what="synth, slowest workload",
        unit="M events/CPU s",
        ours=rate,
        peer=LIMIT,
        peer_name="limit",
        goal=1.0,
        spread=width,
        notes=[f"{name}; " + ", ".join(f"{name} {rate:.0f}" for rate, _, name in rates[1:])],
    )
