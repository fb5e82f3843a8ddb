"""The replay loop beside the same work written by hand in C (loop.c), and beside merely reading the bytes.

Both run over the same events in memory, on the same core, by turns, in CPU
time; what they counted is compared row by row before a figure is given.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import xxhash

from pvreplay.kernels.model import Kernel
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.shape import UNIT_LEAVE_MM, UNIT_NM, UNIT_SEQ
from pvreplay.replay.build import loop_module
from pvreplay.replay.histogram import Histogram, Row
from pvreplay.replay.run import replay
from pvreplay.replay.state import State
from pvreplay.sources.detect import open_trace
from pvreplay.synth import make
from pvreplay.trace.model import Chunk, Meta, Task, Trace
from tests.bench.lines import Line, by_turns, spread

HERE = Path(__file__).parent
RECORDING = HERE.parent.parent / "traces" / "guest-n32-fpthreads.trace.txt"
WORKLOADS = ("pingpong", "messaging", "threadpool", "fpumix", "gameserver", "database", "mmuremap", "random")
GOAL = 0.9


@dataclass
class Events:
    """A trace in memory; a Trace that can be read again and again."""

    meta: Meta
    words: memoryview
    tasks: list[Task]
    on: list[tuple[int, int]]

    doubts: dict[str, int] = field(default_factory=dict)
    damage: str = ""

    def chunks(self) -> Iterator[Chunk]:
        """All events at once."""
        yield Chunk(self.words, self.tasks, self.on)


def in_memory(trace: Trace, repeat: int = 1) -> Events:
    """*trace* read once; its events *repeat* times over, later each time."""
    words = array("Q")
    tasks: list[Task] = []
    on: list[tuple[int, int]] = []
    for chunk in trace.chunks():
        words.frombytes(chunk.events.cast("B"))
        tasks += chunk.tasks
        on += chunk.on
    first, span = words[0], max(words[::2]) - words[0] + 1000
    whole = array("Q", words)
    for turn in range(1, repeat):
        later = array("Q", words)
        for at in range(0, len(later), 2):
            later[at] = words[at] - first + first + turn * span
        whole.extend(later)
    return Events(trace.meta, memoryview(whole).toreadonly(), tasks, on)


def setup_words(events: Events, kernel: Kernel) -> array[int]:
    """What loop.c wants to know before the events."""
    fpu = kernel.fpu
    lazy = fpu.model == "lazy"
    words = [
        *(events.meta.cpus, len(events.tasks), len(events.meta.ops), len(events.on)),
        *(lazy, fpu.eager_above + 1 if lazy else 256, not fpu.eager_needs_used_math, fpu.reset_on_exec),
        *(kernel.parks, 1 << 5 if not lazy and fpu.drop_on_exit else 0),
    ]
    told: set[int] = set()
    for task in events.tasks:
        live = task.fpu if lazy else task.mm != 0
        flags = (
            task.iopl | task.used_math << 2 | (task.mm == 0) << 3 | live << 5 | task.gs << 9 | task.dr << 11
        )
        flags |= task.io_bitmap << 13 | task.notsc << 15 | task.blockstep << 17 | task.fpu_counter << 24
        words += [flags, task.mm, *task.tls, task.ldt if task.mm and task.mm not in told else 0]
        told.add(task.mm)
    for pair in events.on:
        words += pair
    return array("I", [int(word) for word in words])


class Peer:
    """loop.c compiled with -O3, ready to run over *events*."""

    def __init__(self, events: Events, kernel: Kernel, folder: Path) -> None:
        self.program = folder / "loop"
        if not self.program.exists():
            source = str(HERE / "loop.c")
            subprocess.run(["cc", "-O3", "-o", str(self.program), source], check=True)
        self.setup, self.events = folder / "setup", folder / "events"
        self.setup.write_bytes(setup_words(events, kernel).tobytes())
        self.events.write_bytes(events.words)
        self.said: list[list[str]] = []

    def seconds(self) -> float:
        """CPU time of one run."""
        command = [str(self.program), str(self.setup), str(self.events), "1"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.said = [line.split() for line in done.stdout.splitlines()]
        return int(self.said[0][1]) / 1e9

    def check(self, hist: Histogram) -> None:
        """Raise AssertionError unless *hist* says what the last run said."""
        numbers = {line[0]: [int(word) for word in line[1:]] for line in self.said if line[0] == "totals"}
        doubts = hist.doubts
        assert numbers["totals"] == [
            *(hist.switches, doubts["self_switch"], doubts["out_of_order"], hist.lost_events),
            *(doubts["lost_unknown"], doubts["unmatched"], hist.first_time_ns, hist.last_time_ns),
        ], (numbers, hist.doubts)
        sequences = [tuple(int(word) for word in line[1:]) for line in self.said if line[0] == "seq"]
        rows = [tuple(int(word) for word in line[1:]) for line in self.said if line[0] == "row"]
        assert sequences == hist.sequences
        assert sorted(rows) == sorted(_words_of(row) for row in hist.rows)


def _words_of(row: Row) -> tuple[int, int, int, int]:
    """A row as loop.c prints it: key, count, first event and prev, first time."""
    payload = row.payload
    if row.unit_type in (UNIT_NM, UNIT_LEAVE_MM, UNIT_SEQ):
        special = {UNIT_NM: 0, UNIT_LEAVE_MM: 1, UNIT_SEQ: 2 + payload}
        payload = 1 << 26 | special[row.unit_type]
    key = payload | row.cpu << 27 | row.task << 40
    return key, row.count, row.first_event | row.first_prev << 40, row.first_time_ns


def ours_seconds(events: Events, kernel: Kernel) -> float:
    """CPU time of the compiled loop over *events*."""
    state = State(kernel, events.meta.cpus)
    for task in events.tasks:
        state.define(task)
    for cpu, task_id in events.on:
        state.runs_on(cpu, task_id)
    state.allow_ops(len(events.meta.ops))
    loop = loop_module()
    start = time.process_time()
    status = state.run(loop, events.words, 0)
    taken = time.process_time() - start
    assert status == 0
    return taken


def checksum_seconds(events: Events) -> float:
    """CPU time of the checksum of trace.bin over the same bytes: what merely reading them takes."""
    start = time.process_time()
    xxhash.xxh3_64_intdigest(events.words)
    return time.process_time() - start


def traces(switches: int) -> Iterator[tuple[str, Events]]:
    """The real recording over and over, then every workload, of about *switches* switches each."""
    yield "recording", in_memory(open_trace(str(RECORDING)), max(switches // 787, 1))
    for name in WORKLOADS:
        some = switches // 10 if name in ("mmuremap", "random") else switches
        yield name, in_memory(make(name, switches=some, seed=1, cpus=4))


def measure(runs: int, switches: int = 1_000_000) -> Iterator[Line]:
    """Switches per second of ours and of C, for each trace."""
    kernel = load_kernel("2.6.21")
    with tempfile.TemporaryDirectory() as name:
        for what, events in traces(switches):
            peer = Peer(events, kernel, Path(name))
            ours, theirs, reading = by_turns(
                runs,
                partial(ours_seconds, events, kernel),
                peer.seconds,
                partial(checksum_seconds, events),
            )
            hist = replay(events, kernel)
            peer.check(hist)
            count = len(events.words) // 2
            line = Line(
                what=f"loop, {what}",
                unit="M switches/s",
                ours=hist.switches / median(ours) / 1e6,
                peer=hist.switches / median(theirs) / 1e6,
                peer_name="C by hand, -O3",
                goal=GOAL,
                spread=spread(ours),
            )
            line.notes.append(f"{count / median(ours) / 1e6:.0f} M events/s")
            line.notes.append(f"reading the bytes {median(reading) / median(ours):.1%}")
            yield line
