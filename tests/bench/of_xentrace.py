"""xentrace: `pvreplay info` beside `xenalyze --summary`, whole processes, the same file.

The file is the recording in traces/ over and over, each time later by its own length.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from struct import unpack_from

from tests.bench.lines import Line, by_turns, spread
from tests.bench.process import ROOT, pvreplay, run

RECORDING = ROOT / "traces" / "guest-xen.xentrace"
GOAL = 1
AT_ONCE = 64
"""Repetitions written at a time."""
CPU_CHANGE_BYTES = 12
"""A record that xenalyze counts under no CPU."""


def records(data: bytes) -> Iterator[tuple[int, int]]:
    """(offset, time in cycles or 0) of each record: struct t_rec of xen/include/public/trace.h."""
    at = 0
    while at < len(data):
        (head,) = unpack_from("<I", data, at)
        timed = head >> 31
        yield at, unpack_from("<Q", data, at + 4)[0] if timed else 0
        at += 4 + 8 * timed + 4 * (head >> 28 & 7)


def write(path: Path, repeat: int) -> int:
    """The recording *repeat* times over; how many records that makes."""
    data = RECORDING.read_bytes()
    found = list(records(data))
    times = [(at, cycles) for at, cycles in found if cycles]
    span = max(cycles for _, cycles in times) - min(cycles for _, cycles in times) + 1000
    later = bytearray(len(data))
    for at, _ in times:
        later[at + 4 : at + 12] = span.to_bytes(8, "little")
    # The file as one number, and the span as a number with zeros between: one addition moves all times.
    number, step = int.from_bytes(data, "little"), int.from_bytes(later, "little")
    with path.open("wb") as file:
        for first in range(0, repeat, AT_ONCE):
            turns = range(first, min(first + AT_ONCE, repeat))
            file.write(b"".join((number + turn * step).to_bytes(len(data), "little") for turn in turns))
    return len(found) * repeat


def volume(summary: bytes) -> int:
    """Bytes of the records that `xenalyze --summary` saw."""
    part = summary.partition(b"--- Log volume summary ---")[2].partition(b"Total")[0]
    return sum(int(words[-1]) for words in map(bytes.split, part.splitlines()) if words[1:2] == [b":"])


def measure(runs: int, repeat: int = 4000) -> Iterator[Line]:
    """One line."""
    if shutil.which("xenalyze") is None:
        print("of_xentrace: no xenalyze here (Debian: xen-utils-4.17)", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.bin"
        count = write(path, repeat)
        ours = pvreplay("info", str(path), "--format", "json")
        theirs = ["xenalyze", "--summary", str(path)]
        counted = json.loads(run(ours).output)["counts"]["Records by event"]
        assert sum(counted.values()) == count, counted
        told = path.stat().st_size - CPU_CHANGE_BYTES * counted["cpu_change"]
        assert volume(run(theirs).output) == told
        mine, peers = by_turns(runs, lambda: run(ours).seconds, lambda: run(theirs).seconds)
    yield Line(
        what="xentrace",
        unit="M records/s",
        ours=count / median(mine) / 1e6,
        peer=count / median(peers) / 1e6,
        peer_name="xenalyze --summary",
        goal=GOAL,
        spread=spread(mine),
        notes=[f"{count:,} records"],
    )
