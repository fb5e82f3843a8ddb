"""The report as data: what pricing gives and every renderer takes."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["security", "error", "perf"]


class Totals(msgspec.Struct, kw_only=True, gc=False):
    """Counts of one op, one reason or one whole run.

    *hypercalls* are crossings asked for by the guest; *entries* what queued
    ops put into batches; *traps* privileged instructions the hypervisor
    emulates; *rom_calls* calls into the VMI ROM; *count* how often it ran.
    """

    hypercalls: int = 0
    entries: int = 0
    traps: int = 0
    count: int = 0
    rom_calls: int = 0


class BackendResult(msgspec.Struct, kw_only=True):
    """What one backend pays for the whole trace.

    *hypercalls*, *entries*, *traps* and *rom_calls* are totals of everything
    replayed = *in_switch* + the sum of *outside*.  *histogram* is hypercalls in
    one switch -> number of switches; *flushes* reason -> number of flushes, of
    which some ride on another hypercall; *batch_sizes* entries in a batch ->
    number of batches; *by_op* adds up to the totals, a flush being charged to
    the op that drained the queue.
    """

    name: str
    hypercalls: int = 0
    hypercalls_per_switch: float = 0.0
    entries: int = 0
    traps: int = 0
    rom_calls: int = 0
    flushes: dict[str, int] = {}
    batch_sizes: dict[int, int] = {}
    by_op: dict[str, Totals] = {}
    histogram: dict[int, int] = {}
    in_switch: Totals = msgspec.field(default_factory=Totals)
    outside: dict[str, Totals] = {}
    """nm, leave_mm, lazy_mmu, ops: what was paid outside a switch; ops are recorded ones in no section."""
    by_task: dict[int, Totals] = {}
    """task id -> totals; count = switches to it."""
    by_cpu: dict[int, Totals] = {}
    by_shape: dict[str, Totals] = {}
    """the names of a shape joined by "+" ("-" for none) -> totals; count = switches."""
    notes: list[str] = []
    """e.g. that this backend entered the kernel later and its earliest rows were used."""
    unbatched_hypercalls: int | None = None
    """What NAME-unbatched pays for the same trace; None when not priced or nothing is ever batched."""


class DrawnStep(msgspec.Struct, kw_only=True):
    """One line of the drawn sequence of a violation."""

    index: int
    op: str
    disposition: str
    """queued, immediate, trap, flush, plain, rom-local ..."""
    detail: str = ""
    mark: bool = False
    """True on the step at fault."""


class First(msgspec.Struct, kw_only=True):
    """Where a violation was seen first."""

    event: int
    time_ns: int
    cpu: int
    prev: str
    next: str


class Violation(msgspec.Struct, kw_only=True):
    """One rule broken at one step of one sequence of ops, on one or more backends."""

    rule: str
    name: str
    severity: Severity
    backends: list[str]
    count: int
    step: int
    """0-based index of the op at fault in *drawn*'s numbering."""
    first: First | None = None
    op: str
    message: str
    advice: str
    drawn: list[DrawnStep] = []
    shape: str = ""
    consequences: list[str] = []
    """Rules that fired later in the same window because of this one."""


class WhatIf(msgspec.Struct, kw_only=True):
    """A rule that an event would break which nothing recorded, had it come where it was put in.

    *event* is irq, nmi, fault or preempt.  *steps* are the steps of the unit (0-based, *drawn*'s numbering)
    before which it breaks the rule; *after* and *before* the ops around them, which are the same in every
    unit counted.  *count* is how often these units occurred, *units* how many different ones
    there are; *shape* is the first one's.  An injected op is drawn with the index of the step it precedes.
    """

    rule: str
    name: str
    severity: Severity
    event: str
    backends: list[str]
    count: int
    units: int
    steps: list[int]
    after: str
    before: str
    message: str
    advice: str
    shape: str = ""
    drawn: list[DrawnStep] = []


class Report(msgspec.Struct, kw_only=True):
    """A whole run; ``report/json.py`` documents the JSON form."""

    kernel: str
    kernel_source: str
    path: str
    format: str
    events: int
    switches: int
    cpus: int
    tasks: int
    lost_events: int
    duration_ns: int
    state: dict[str, tuple[str, str, str]]
    """key -> (observed|derived|assumed, from what, option that changes it)."""
    doubts: dict[str, int]
    damage: str
    backends: list[BackendResult]
    violations: list[Violation]
    task_names: dict[int, str]
    """task id -> comm and pid for *by_task*, unescaped: hostile."""
    engine: str
    compiled: bool
    version: str
    not_checked: dict[str, str] = {}
    """rule -> why it could not be checked on this trace."""
    notes: list[str] = []
    """What a reader of the numbers must know: settings that are not the defaults, choices made."""
    filter: dict[str, str] = {}
    """What the report is about, if not about the whole trace: cpu, task, time -> what was kept."""
    what_if: list[WhatIf] | None = None
    """What events put into every distinct unit would break; None when none were put in."""
