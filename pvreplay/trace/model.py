"""What a trace is in memory: tasks, provenance, and a stream of event chunks.

Every source (our own file, its text form, other tools' recordings, the
synthetic workloads) is a :class:`Trace`: iterate it once for chunks, then read
``meta`` and ``doubts``, which are complete only at the end of the iteration.
Memory is bounded by one chunk and the task table, never by the trace's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import msgspec

How = Literal["observed", "derived", "assumed"]

STATE_KEYS = (
    "mm",
    "fpu",
    "tls",
    "ldt",
    "iopl",
    "io_bitmap",
    "dr",
    "notsc",
    "gs",
    "blockstep",
    "lazy_tlb",
    "lazy_mmu",
)
"""The pieces of task and CPU state a switch looks at; each has an origin."""


class Origin(msgspec.Struct):
    """Where a piece of state comes from.

    *source* names the evidence (tracepoints) or the value assumed; *option* is
    how to change an assumption, e.g. ``--assume fpu=always``.
    """

    how: How
    source: str = ""
    option: str = ""


class Task(msgspec.Struct):
    """A task and its state when the trace first needs it.

    *id* is 1, 2, 3 ... in order of definition and is what events name; *mm* 0
    is a kernel thread.  *tls* words are equal when the descriptors are equal.
    *fpu* means TS_USEDFPU: its registers are live on the CPU it is on.
    """

    id: int
    comm: str = ""
    pid: int = -1
    mm: int = 0
    tls: tuple[int, int, int] = (0, 0, 0)
    ldt: int = 0
    iopl: int = 0
    dr: bool = False
    io_bitmap: bool = False
    notsc: bool = False
    gs: bool = False
    blockstep: bool = False
    fpu: bool = False
    fpu_counter: int = 0
    used_math: bool = False


class Chunk(msgspec.Struct):
    """A run of events and what must be known before them.

    *events* is a read-only view of unsigned 64-bit words (format ``Q``), two a
    event (:mod:`pvreplay.trace.events`), valid until the next chunk is asked
    for.  *tasks* are new definitions; *on* is (cpu, task id) pairs of who runs
    before the first event.  *offset* is the byte (or line) of the first event,
    for messages.
    """

    events: memoryview
    tasks: list[Task] = []
    on: list[tuple[int, int]] = []
    offset: int = 0


class Meta(msgspec.Struct):
    """What is known about a trace besides its events."""

    path: str = "-"
    format: str = ""
    cpus: int = 0
    clock: str = ""
    origin: str = ""
    """One line: where the trace came from (a recording's machine, a recipe)."""
    tool: str = ""
    """The program and version that recorded or made the trace."""
    level: Literal["switch", "op"] = "switch"
    state: dict[str, Origin] = {}
    ops: tuple[str, ...] = ()
    """The op table of an op-level trace; OP events index it."""


class Trace(Protocol):
    """A trace to be read once, front to back."""

    meta: Meta
    doubts: dict[str, int]
    """Lines or records the reader could not be sure of: name -> how many."""

    damage: str
    """Empty, or one sentence on what is missing (a cut file)."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks in file order."""
        ...
