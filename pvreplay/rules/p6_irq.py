"""P6 irq: a lazy mode is used in an interrupt

What it does
    With the policy strict-nopreempt: fires for entering, leaving or flushing a
    lazy mode, and for an op that is queued, while an interrupt or NMI is being
    handled. With x86-2009 and generic2025, where the mode reads as off in an
    interrupt: fires for an op that is queued there. seed2006 does not say, and
    the rule is silent.

Why it is bad
    Code in the handler expects its page-table writes to be done at once; it is
    not in any section. The interrupted section's queue is not the handler's.

Example that fires
    pvreplay check 'enter_mmu irq_enter set_pte irq_exit' --backend kvm --kernel 2.6.27 --policy x86-2009
      fires at step 2
    pvreplay check 'irq_enter enter_mmu set_pte:b leave_mmu irq_exit' --backend xen --policy strict-nopreempt
      fires at step 1

Example that stays silent
    pvreplay check 'enter_mmu irq_enter set_pte irq_exit' --backend kvm --kernel 2.6.32 --policy x86-2009
    pvreplay check 'irq_enter enter_mmu set_pte:b leave_mmu irq_exit' --backend xen

What it cannot see
    Soft interrupts and tasklets, unless they are recorded as interrupts.

Bugs it would have caught
    6ba66178759 ("KVM guest: do not batch pte updates from interrupt context",
    2.6.32). arm64 5fdd05efa1cd and b81c688426a9 (2025). The trigger of
    4f06b0436b2d (v2.6.29-rc6).

Sources
    b8bcfe997e4 ("x86/paravirt: remove lazy mode in interrupts", v2.6.31-rc1).
"""

from __future__ import annotations

from pvreplay.machine.view import IN_IRQ, MODE, QUEUED, View
from pvreplay.rules.base import Rule


class Irq(Rule):
    code = "P6"
    name = "irq"
    severity = "error"
    summary = "a lazy mode is used in an interrupt"
    advice = "Do it at once in interrupts, and leave the mode alone there."
    flags = IN_IRQ
    needs = ("irq",)

    def check(self, view: View) -> None:
        stated = view.machine.policy.irq
        if stated == "unstated":
            return
        if view.flags & QUEUED:
            self.report(view, "queued in an interrupt", key="queued")
        elif view.flags & MODE and stated == "forbidden":
            self.report(view, "a lazy mode is changed in an interrupt", key="mode")
