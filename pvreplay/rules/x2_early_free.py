"""X2 early-free: an object is freed while the hardware or the queue still names it

What it does
    Fires when an object is freed or unpinned (free:X) while a queued write names
    it, or while it is the value in effect of a resource.

Why it is bad
    The flush, or the processor, will use memory that belongs to somebody else.

Example that fires
    pvreplay check 'begin enter_cpu write_cr3=mmB free:mmA leave_cpu end' --backend xen --hw CR3=mmA
      fires at step 3
    pvreplay check 'enter_mmu set_pte:a@page free:page leave_mmu' --backend xen
      fires at step 2

Example that stays silent
    pvreplay check 'begin enter_cpu write_cr3=mmB leave_cpu free:mmA end' --backend xen --hw CR3=mmA
    pvreplay check 'begin write_cr3=mmB free:mmA end' --backend native --hw CR3=mmA

What it cannot see
    Other CPUs that still use the object; a queue slot reused while a remote
    call runs.

Bugs it would have caught
    sparc f36391d2790d (2013): the batch reused before its cross-calls were done.
    a741e6796957 ("[POWERPC] Make tlb flush batch use lazy MMU mode", v2.6.22-rc1).

Sources
    The commits named.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class EarlyFree(Rule):
    code = "X2"
    name = "early-free"
    severity = "error"
    summary = "an object is freed while the hardware or the queue still names it"
    advice = "Flush (and wait for other CPUs) before freeing."
    ops = frozenset({"free"})
    needs = ("operand",)

    def check(self, view: View) -> None:
        machine = view.machine
        label = view.disposition.token.operand
        if label in machine.vias:
            at = machine.vias[label]
            self.report(
                view, f"{label} is named by the write queued at step {at}", key="queued", related=(at,)
            )
            return
        for mask, value in (*machine.values.items(), *machine.effective.items()):
            if value == label:
                how = "queued for" if machine.values.get(mask) == label else "in effect in"
                self.report(view, f"{label} is {how} {res.text(mask)}", key="named")
                return
