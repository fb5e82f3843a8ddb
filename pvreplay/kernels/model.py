"""A kernel as data: the steps of its switch path, their guards, its FPU rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec

from pvreplay.kernels.guard import Guard, compile_guard

Arch = Literal["i386", "x86-64"]
Iopl = Literal["posted", "merged", "never"]

IOPL_GUARDS: Mapping[Iopl, str] = {
    "posted": "iopl_differs",
    "merged": "iopl_differs and kernel_rpl",
    "never": "false",
}
"""What the guard name ``iopl_policy`` stands for.

posted: the seed patch, whenever IOPL differs.  merged: commit 8b151144349 ("i386: iOPL handling for
paravirt guests") (in v2.6.21-rc1) adds ``get_kernel_rpl() &&``.  never: commit 8c89812684d ("i386:
remove IOPL check on task switch") (in v2.6.20-rc1) leaves it to the popfl of switch_to().
"""


class FpuRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the kernel decides about the FPU at a switch.

    *model* ``lazy``: CR0.TS is set at switch-out and the registers come back
    at #NM, or eagerly when the 8-bit ``fpu_counter`` is above *eager_above*
    (and the task has used_math, if *eager_needs_used_math*).  *reset_on_exec*:
    exec clears the counter.  ``none``: no TS, no #NM; user tasks are always
    saved, at their last switch too, unless *drop_on_exit*: exit has let go of
    the registers by then.
    """

    model: Literal["lazy", "none"]
    eager_above: int = 5
    eager_needs_used_math: bool = False
    reset_on_exec: bool = False
    drop_on_exit: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the path: its ops, and the guard they depend on.

    *ops* are ``name`` or ``name:operand``; empty for a step that is in the
    kernel's code but does nothing a machine could see.  *when* is resolved:
    ``iopl_policy`` no longer occurs in it.
    """

    name: str
    when: str = "true"
    ops: tuple[str, ...] = ()
    source: str = ""
    note: str = ""


class PlacedOp(NamedTuple):
    """An op at its place in the path: the step it belongs to and that step's guard."""

    step: str
    op: str
    operand: str
    guard: str


class JudgedStep(NamedTuple):
    """A step, whether it was taken, and the names that decided, with their values."""

    step: Step
    taken: bool
    because: tuple[tuple[str, int], ...]


def split_op(text: str) -> tuple[str, str]:
    """``"set_debugreg:7"`` -> ``("set_debugreg", "7")``; the operand is "" without a colon."""
    name, _, operand = text.partition(":")
    return name, operand


class Kernel:
    """A switch path with its guards and FPU rules; immutable by convention.

    *version* orders kernels and selects the rows of a backend.  *parks*:
    arch_start_context_switch() leaves lazy MMU mode and parks it in the task
    (from 2.6.31).  *irq_ignores_lazy*: no batching in interrupts (from
    2.6.31).  *lazy_cpu*, *lazy_mmu*: the kernel has that mode at all.
    *nm_ops* are the ops of a #NM, *leave_mm_ops* of leave_mm().  *path* is the
    file it was read from.
    """

    __slots__ = (
        "_plan",
        "arch",
        "fpu",
        "guards",
        "iopl",
        "irq_ignores_lazy",
        "lazy_cpu",
        "lazy_mmu",
        "leave_mm_ops",
        "name",
        "nm_ops",
        "notes",
        "parks",
        "path",
        "released",
        "sources",
        "steps",
        "title",
        "uncertain",
        "user_segment",
        "version",
    )

    def __init__(
        self,
        *,
        name: str,
        title: str,
        arch: Arch,
        version: tuple[int, ...],
        released: str,
        steps: tuple[Step, ...],
        fpu: FpuRules,
        parks: bool,
        irq_ignores_lazy: bool,
        lazy_mmu: bool,
        iopl: Iopl,
        user_segment: str,
        nm_ops: tuple[str, ...],
        leave_mm_ops: tuple[str, ...],
        sources: tuple[str, ...],
        notes: tuple[str, ...],
        uncertain: tuple[str, ...],
        path: str,
    ) -> None:
        self.name = name
        self.title = title
        self.arch = arch
        self.version = version
        self.released = released
        self.steps = steps
        self.fpu = fpu
        self.parks = parks
        self.irq_ignores_lazy = irq_ignores_lazy
        self.lazy_mmu = lazy_mmu
        self.iopl = iopl
        self.user_segment = user_segment
        self.nm_ops = nm_ops
        self.leave_mm_ops = leave_mm_ops
        self.sources = sources
        self.notes = notes
        self.uncertain = uncertain
        self.path = path
        self.guards: tuple[Guard, ...] = tuple(compile_guard(step.when) for step in steps)
        self._plan: list[tuple[Callable[[Mapping[str, int]], bool] | None, tuple[PlacedOp, ...]]] = [
            (guard.test, tuple(PlacedOp(step.name, *split_op(op), step.when) for op in step.ops))
            for step, guard in zip(steps, self.guards, strict=True)
            if step.ops
        ]
        self.lazy_cpu = any(op in ("enter_lazy_cpu", "start_context_switch") for op in self.ops())

    def expand(self, facts: Mapping[str, int]) -> list[PlacedOp]:
        """The ops of one switch, in order.

        *facts* has every name of :data:`pvreplay.machine.shape.GUARDS` (0 or
        1), ``tls`` (0..3) and the backend's traits (``kernel_rpl``).
        """
        placed: list[PlacedOp] = []
        for test, ops in self._plan:
            if test is None or test(facts):
                placed += ops
        return placed

    def steps_with_guards(self, facts: Mapping[str, int]) -> list[JudgedStep]:
        """Every step of the path, taken or not, and why; *facts* as for :meth:`expand`."""
        return [
            JudgedStep(step, guard(facts), guard.explain(facts))
            for step, guard in zip(self.steps, self.guards, strict=True)
        ]

    def ops(self) -> set[str]:
        """The names, without operands, of all ops of the path."""
        return {split_op(op)[0] for step in self.steps for op in step.ops}

    def __repr__(self) -> str:
        return f"Kernel({self.name!r}, {len(self.steps)} steps)"
