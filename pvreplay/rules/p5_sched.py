"""P5 sched: a switch where there must be none: in an unparked lazy MMU section, in an interrupt

What it does
    Fires at sched_out while a lazy mode is on, and at the end of a switch that
    began inside a lazy MMU section and neither left nor parked it. Fires at the
    beginning of a switch while an interrupt or NMI is being handled. Policies
    that allow preemption (x86-2009, generic2025) take a sched_out as parked;
    strict-nopreempt also refuses a section that was parked.

Why it is bad
    The mode and the queue belong to the CPU. The next task inherits both, its
    own writes are queued unasked, and the first task continues with a mode it
    believes is on. An interrupt handler has no task that could be switched.

Example that fires
    pvreplay check 'enter_mmu set_pte:a sched_out leave_mmu' --backend xen
      fires at step 2
    pvreplay check 'enter_mmu set_pte:a begin load_tls set_current end leave_mmu' --backend xen
      fires at step 5
    pvreplay check 'irq_enter begin load_tls end' --backend native
      fires at step 1

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a leave_mmu sched_out' --backend xen
    pvreplay check 'enter_mmu set_pte:a begin start_cs load_tls end_cs end leave_mmu' --backend xen
    pvreplay check 'enter_mmu set_pte:a sched_out leave_mmu' --backend xen --policy x86-2009
    pvreplay check 'irq_enter irq_exit begin load_tls end' --backend native

What it cannot see
    A migration: the trace of one CPU does not show where the task went on. An
    interrupt whose exit was lost looks as if it were still being handled.

Bugs it would have caught
    b407fc57b815 ("x86/paravirt: flush pending mmu updates on context switch",
    v2.6.31-rc1). powerpc d6bf29b44ddf (2011) and b9ef323ea168 (2022), sparc
    a1d416bf9faf (2025). 49147beb0ccb: a per-CPU count that is not parked.

Sources
    The commits named.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_MMU, MODE_NAMES
from pvreplay.machine.view import PARKED, View
from pvreplay.rules.base import Rule


class Sched(Rule):
    code = "P5"
    name = "sched"
    severity = "error"
    summary = "a switch where there must be none: in an unparked lazy MMU section, in an interrupt"
    advice = "Flush and park the section when the task is switched out, or keep preemption off in it."
    flags = PARKED
    ops = frozenset({"begin", "sched_out", "end", "park"})
    needs = ("switch_in_section",)

    def check(self, view: View) -> None:
        policy = view.machine.policy
        since = f"{MODE_NAMES[view.mode]} mode is on since step {view.entered}"
        if view.name == "begin":
            if view.irq or view.machine.context.in_irq:
                self.report(view, "switched in an interrupt", key="irq")
        elif view.name == "end":
            if view.machine.window_mmu and view.mode == MODE_MMU:
                self.report(view, f"switched, {since}", key="end", related=(view.entered,))
        elif view.name == "sched_out":
            if view.mode and not (view.mode == MODE_MMU and policy.preempt_in_mmu):
                self.report(view, since, key="sched_out", related=(view.entered,))
        elif policy.irq == "forbidden" and view.mode == MODE_MMU:
            self.report(view, f"preempted, {since}", key="park", related=(view.entered,))
