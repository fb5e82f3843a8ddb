"""The result of a replay: how often each unit occurred, per CPU and per task.

A histogram is a few KB, independent of backends; histograms of many traces of
one kernel add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pvreplay.trace.model import Meta, Task

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel

Rule = bool | int | str


class Row(msgspec.Struct, gc=False):
    """One distinct (unit, CPU, task) and how often it occurred.

    *unit_type* and *payload* are those of :mod:`pvreplay.machine.shape`.
    *task* is the task switched to (for #NM and sequences, the current task),
    0 for the CPU's idle task.  *first_** tell where it occurred first: the
    event's number in the trace (from 0), its time and the task switched from.
    """

    unit_type: int
    payload: int
    cpu: int
    task: int
    count: int
    first_event: int
    first_time_ns: int
    first_prev: int


class Histogram(msgspec.Struct):
    """Everything pricing needs; nothing about any backend."""

    kernel: str
    meta: Meta
    rows: list[Row] = []
    sequences: list[tuple[int, ...]] = []
    tasks: dict[int, Task] = {}
    """Tasks that occur in *rows*, for names; task 0 is idle and not listed."""
    nr_tasks: int = 0
    nr_cpus: int = 0
    events: int = 0
    switches: int = 0
    lost_events: int = 0
    first_time_ns: int = 0
    last_time_ns: int = 0
    doubts: dict[str, int] = {}
    """lost_unknown, unmatched, out_of_order, self_switch, unfinished, undecided and the source's own.

    *unmatched*: an event that another should have come before (the end of an
    interrupt or window, a second "on", a "for" that nothing follows, an LDT
    without an mm).  *unfinished*: sequences still open at the end of the trace.
    """
    damage: str = ""
    engine: str = "shape"
    """shape, or step (every switch through the machine)."""
    rules: dict[str, Rule] = {}
    """What the replay asked of the kernel (:func:`replay_rules`); kernels that agree share histograms."""

    @property
    def duration_ns(self) -> int:
        """Time from the first to the last event."""
        return self.last_time_ns - self.first_time_ns


def replay_rules(kernel: Kernel) -> dict[str, Rule]:
    """All that a replay depends on in *kernel*: its FPU rules, and whether a switch parks lazy MMU mode."""
    fpu = kernel.fpu
    return {
        "fpu": fpu.model,
        "eager_above": fpu.eager_above,
        "eager_needs_used_math": fpu.eager_needs_used_math,
        "reset_on_exec": fpu.reset_on_exec,
        "drop_on_exit": fpu.drop_on_exit,
        "parks": kernel.parks,
    }
