"""perf.data: `pvreplay run` beside perf, whole processes, the same file.

It is recorded here and now (`perf sched record` of `perf bench sched pipe`, as root).
PVREPLAY_BENCH_EVENTS is how many events make a large recording (default 5,000,000); this part takes
seven times as many, so that what it costs to start weighs less than what it costs to read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.lines import Line, spread

EVENTS = int(os.environ.get("PVREPLAY_BENCH_EVENTS", "5000000"))
ASKED = 7 * EVENTS
LOOP_EVENTS = 2
"""Events of one loop of the pipe benchmark, at least; most machines write three or four."""
MEMORY_MB = 64
SLOW_RUNS = 1
"""A peer that takes many seconds is run once."""


def run(command: list[str]) -> float:
    """Seconds of a process whose output nobody reads."""
    with open(os.devnull, "wb") as nowhere:
        start = time.perf_counter()
        subprocess.run(command, stdout=nowhere, stderr=nowhere, check=False)
        return time.perf_counter() - start


PEAK = """
import sys
from pvreplay.__main__ import main
main(sys.argv[1:])
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")), file=sys.stderr)
"""
"""What getrusage() tells of a child begins with what its parent had when it forked; VmHWM does not."""


def peak_mb(path: Path) -> float:
    """The most memory our command takes, in a run of its own."""
    command = [sys.executable, "-c", PEAK, "run", str(path), "--format", "json"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return int(done.stderr.split()[-1]) / 1024


def ours(path: Path) -> list[str]:
    """Our command."""
    return [sys.executable, "-m", "pvreplay", "run", str(path), "--format", "json"]


def perf_data(directory: Path) -> tuple[Path, int] | None:
    """(a recording, its events), None when perf cannot record here."""
    path = directory / "sched.perf.data"
    loops = ASKED // LOOP_EVENTS
    record = ["perf", "sched", "record", "-o", str(path), "--", "perf", "bench", "sched", "pipe", "-l"]
    if shutil.which("perf") is None or not run([*record, "1000"]) or not path.exists():
        return None
    per_loop = _perf_events(path) / 1000
    run([*record, str(min(loops, int(ASKED / max(per_loop, 1)) + 1))])
    return path, _perf_events(path)


def _perf_events(path: Path) -> int:
    from pvreplay.sources.perfdata import PerfData

    source = PerfData(str(path))
    words = memoryview(bytearray(32 * 16384)).cast("Q")
    while source.fill(words, 0):
        pass
    return source.samples


def beside(
    what: str, path: Path, events: int, runs: int, peers: list[tuple[str, list[str], float, int]]
) -> Iterator[Line]:
    """A line for each peer (name, command, goal, runs at most), and one for our memory."""
    mine: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name, *_ in peers}
    for turn in range(runs):
        mine.append(run(ours(path)))
        for name, command, _, most in peers:
            if turn < most:
                theirs[name].append(run(command))
    rate = events / median(mine) / 1e6
    for name, _, goal, _ in peers:
        peer = events / median(theirs[name]) / 1e6
        notes = [f"{events:,} events"]
        yield Line(f"{what}", "M events/s", rate, peer, name, "higher", goal, spread(mine), notes)
    yield Line(
        f"{what}: memory", "MB", peak_mb(path), MEMORY_MB, "limit", "lower", 1.0, 0.0, ["peak of the process"]
    )


def measure(runs: int) -> Iterator[Line]:
    """Every line of this part."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        recorded = perf_data(directory)
        if recorded is None:
            print("of_binary: perf cannot record here (run as root, with perf installed)", file=sys.stderr)
        else:
            path, events = recorded
            script = ["perf", "script", "-i", str(path)]
            yield from beside(
                "perf.data", path, events, runs,
                [
                    ("perf sched latency", ["perf", "sched", "latency", "-i", str(path)], 8, runs),
                    ("perf sched timehist -s", ["perf", "sched", "timehist", "-s", "-i", str(path)], 8, runs),
                    ("perf script", script, 60, SLOW_RUNS),
                    ("perf script -F", [*script, "-F", "tid,cpu,time,event,trace"], 25, SLOW_RUNS),
                ],
            )  # fmt: skip
