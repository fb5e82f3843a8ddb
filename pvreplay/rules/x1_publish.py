"""X1 publish: a page table is used before others can know

What it does
    Fires when an mm's page table has taken effect (write_cr3=MM) and this CPU's
    bit is set in that mm's mask (set_mask:MM) only afterwards. The same for an
    LDT or TLS load (set_ldt=X, load_tls=X) and what others must know of X first,
    which set_mask:X stands for. What counts is when the load takes effect: a
    queued one is not in effect before the flush.

Why it is bad
    Another CPU that changes the mm in between finds this CPU absent from the
    mask, sends it no flush, and leaves it with stale translations.

Example that fires
    pvreplay check 'begin write_cr3=mmB set_mask:mmB end' --backend xen
      fires at step 1
    pvreplay check 'begin set_ldt=ldtB set_mask:ldtB end' --backend xen
      fires at step 1

Example that stays silent
    pvreplay check 'begin set_mask:mmB write_cr3=mmB end' --backend xen
    pvreplay check 'begin enter_cpu write_cr3=mmB set_mask:mmB leave_cpu end' --backend xen

What it cannot see
    Memory ordering between CPUs. A mask that is never set in the trace, or cleared
    too early or too late.

Bugs it would have caught
    CVE-2016-2069, 71b3c126e611 (v4.5-rc1). OpenBSD's 9f1181d59de3 (pm_cpus).
    89d637a87209 (LDT pointer and size). The membarrier fix of 2024, where the CR3
    write was the barrier.

Sources
    The commits named; Linux v2.6.21 include/asm-i386/mmu_context.h:20-61 sets the
    bit first.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Publish(Rule):
    code = "X1"
    name = "publish"
    severity = "error"
    summary = "a page table is used before others can know"
    advice = "Set the CPU's bit in the mask before the page table is loaded."
    ops = frozenset({"set_mask"})
    needs = ("mask",)

    def check(self, view: View) -> None:
        machine = view.machine
        label = view.disposition.token.operand
        for loaded in (res.CR3, res.LDT, res.GDT_TLS):
            if machine.effective.get(loaded) == label and not machine.pending & loaded:
                self._judge(view, label, loaded)

    def _judge(self, view: View, label: str, loaded: int) -> None:
        for step in reversed(view.machine.steps[:-1]):
            if step.name == "set_mask" and step.disposition.token.operand == label:
                return
            if step.disposition.writes == loaded:
                if step.disposition.token.value == label:
                    message = f"in effect before {label}'s mask is set at step {view.index}"
                    self.report(step, message, key=label, related=(view.index,))
                return
