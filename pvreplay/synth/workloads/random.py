"""Uniformly random events of every kind, in range, else lawless.

Models nothing.  All values come from the seed: kinds with equal chance, but for switches, which are
a share of their own; tasks with random mms (one in four a kernel thread) and random initial state.
See _random_cy.py for the few things that are kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pvreplay.errors import UsageError
from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import Filler, Planting
from pvreplay.trace.model import Task

OPTIONS: Final = {
    "switch": Option(250, 1, 1000, "switches in a thousand events"),
    "ops": Option(1, 0, 1, "0: no op-level events (begin, op, end)"),
    "mmu": Option(1, 0, 1, "0: no lazy MMU, interrupt, fault, sleep, user and flush events"),
}
OPS: Final = (
    *("write_cr3", "set_ldt", "load_sp0", "savesegment:gs", "load_tls", "set_iopl_mask", "set_debugreg:0"),
    *(
        "read_cr4",
        "write_cr4",
        "enter_lazy_cpu",
        "leave_lazy_cpu",
        "enter_lazy_mmu",
        "leave_lazy_mmu",
        "set_pte",
    ),
    *(
        "read_pte",
        "fpu_save",
        "read_cr0",
        "write_cr0",
        "clts",
        "fpu_restore",
        "loadsegment:gs",
        "set_current",
    ),
)
"""The ops of the switch path and of a lazy MMU section, as kernel files write them."""


@dataclass(slots=True)
class RandomPlan:
    """Tasks and knobs; *start* makes the generator."""

    cpus: int
    ntasks: int
    switch_per_mille: int
    ops: tuple[str, ...]
    mmu: int
    newborn: str = ""
    tasks: list[Task] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)

    def start(self, switches: int, seed: int, plants: Sequence[Planting] = ()) -> Filler:
        """A generator at its first event; *tasks* and *first* are drawn from the seed here."""
        from pvreplay.synth._random_cy import RandomEvents

        if plants:
            raise UsageError(
                "synth random: --inject", "Random events break rules anyway; take another workload."
            )
        draw = Draw(seed)
        mms = max(2, self.ntasks // 2)
        self.tasks = [_task(number, mms, draw) for number in range(1, self.ntasks + 1)]
        where = array("Q", bytes(8 * (self.ntasks + 1)))
        current = array("Q", bytes(8 * self.cpus))
        self.first = {}
        for cpu in range(self.cpus):
            task = draw.below(self.ntasks + 1)
            if task and not where[task]:
                self.first[cpu] = current[cpu] = task
                where[task] = cpu + 1
        knobs = {
            "seed": draw.state,
            "switches": switches,
            "cpus": self.cpus,
            "tasks": self.ntasks,
            "mms": mms,
            "ops": len(self.ops),
            "mmu": self.mmu,
            "switch_share": (self.switch_per_mille << 32) // 1000,
        }
        return RandomEvents(knobs, current, where, array("Q", bytes(8 * 5 * self.cpus)))


class Draw:
    """SplitMix64 in plain Python, for the few draws before the first event."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, bound: int) -> int:
        """A number below *bound*."""
        mask = 0xFFFF_FFFF_FFFF_FFFF
        self.state = z = self.state + 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return ((z ^ z >> 31) >> 32) * bound >> 32


def _task(number: int, mms: int, draw: Draw) -> Task:
    mm = 1 + draw.below(mms) if draw.below(4) else 0
    tls = (draw.below(4), draw.below(4), draw.below(4))
    task = Task(number, f"task-{number}", 1000 + number, mm, tls, draw.below(3) if mm else 0, draw.below(4))
    for name in ("dr", "io_bitmap", "notsc", "gs", "blockstep", "fpu", "used_math"):
        setattr(task, name, bool(draw.below(2)))
    task.fpu_counter = draw.below(256)
    return task


def build(p: Params) -> RandomPlan:
    """At least two tasks more than CPUs, so that there is somebody to switch to."""
    tasks = p.count(max(16, 2 * p.cpus), p.cpus + 2)
    return RandomPlan(p.cpus, tasks, p["switch"], OPS if p["ops"] else (), p["mmu"])
