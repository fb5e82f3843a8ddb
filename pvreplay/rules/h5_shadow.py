"""H5 shadow: a software copy is used although the real value has changed

What it does
    Fires when a value remembered from a software copy (shadow_read) is used
    (shadow_use) after the resource was written again, after the task was
    switched out in between, or while a write of the resource is still queued.

Why it is bad
    The decision that rests on the copy (skip a restore, skip a flush) is taken
    for a state that does not exist any more.

Example that fires
    pvreplay check 'shadow_read:fpu sched_out fpu_restore sched_in shadow_use:fpu' --backend native
      fires at step 4
    pvreplay check 'begin enter_cpu write_cr3 shadow_read:cr3 shadow_use:cr3 leave_cpu end' --backend xen
      fires at step 4

Example that stays silent
    pvreplay check 'sched_out fpu_restore sched_in shadow_read:fpu shadow_use:fpu' --backend native
    pvreplay check 'begin enter_cpu write_cr3 leave_cpu shadow_read:cr3 shadow_use:cr3 end' --backend xen

What it cannot see
    Copies the trace does not name; other CPUs that read this CPU's copy, unless
    their reads are put into this CPU's order.

Bugs it would have caught
    CVE-2019-19602, 59c4bd853abc (v5.5-rc1): the FPU owner kept across a
    preemption. Xen's c42494acb2 (2014): the copy of FS and GS base.

Sources
    The commits named; 9f79991d418: Xen's current_cr3 is set by a callback at
    the flush so that the copy and the real value agree.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Shadow(Rule):
    code = "H5"
    name = "shadow"
    severity = "error"
    summary = "a software copy is used although the real value has changed"
    advice = "Read the copy again after anything that may have changed the value."
    ops = frozenset({"shadow_use"})
    needs = ("shadow",)

    def check(self, view: View) -> None:
        bit = res.lookup(view.disposition.token.operand)
        assert bit is not None  # parse() has checked it
        machine = view.machine
        if machine.pending & bit:
            at = machine.since[bit]
            self.report(view, f"the write of {res.text(bit)} is still queued since step {at}", related=(at,))
            return
        for step in reversed(machine.steps[:-1]):
            if step.name == "shadow_read" and res.lookup(step.disposition.token.operand) == bit:
                return
            if step.name == "sched_out" or step.disposition.writes & bit:
                self.report(
                    view,
                    f"{res.text(bit)} may have changed since it was read: step {step.index}",
                    related=(step.index,),
                )
                return
