"""H2 waw-bypass: a write at once overtakes a queued write of the same resource

What it does
    Fires when an op writes a resource at once (a trap, a hypercall beside the
    queue, a plain store) while an earlier write of it is queued and the op does
    not drain the queue first.

Why it is bad
    The queue is flushed later, so the older value arrives last and stays.

Example that fires
    pvreplay check 'enter_mmu set_pte:a irq_enter set_pte:a irq_exit leave_mmu' --backend xen
      fires at step 3

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a flush irq_enter set_pte:a irq_exit leave_mmu' --backend xen
    pvreplay check 'enter_mmu set_pte:a irq_enter set_pte:b irq_exit leave_mmu' --backend xen
    pvreplay check 'enter_mmu set_pte:a irq_enter set_pte:a irq_exit leave_mmu' --backend lguest
    pvreplay check 'enter_mmu set_pte:a flush_tlb_user flush_tlb_single:b leave_mmu' --backend kvm

What it cannot see
    Writers that are no op: the processor setting accessed and dirty bits.
    PTEs without labels are taken to be different ones. A TLB flush that overtakes
    a queued one: they may come in either order.

Bugs it would have caught
    In part 08b882c627ae ("paravirt: add hooks for ptep_modify_prot_start/commit",
    v2.6.27-rc1): a read-modify-write with a second writer.

Sources
    lguest drains its ring before any real hypercall (Linux v2.6.24
    drivers/lguest/hypercalls.c:107-150), so it cannot be overtaken; Xen's direct
    hypercalls do not flush the batch (arch/x86/xen/enlighten.c, mmu.c).
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import WAW, View
from pvreplay.rules.base import Rule


class WawBypass(Rule):
    code = "H2"
    name = "waw-bypass"
    severity = "error"
    summary = "a write at once overtakes a queued write of the same resource"
    advice = "Drain the queue before a write that is not queued itself."
    flags = WAW

    def check(self, view: View) -> None:
        mask = view.waw & ~(res.PTE | res.TLB)
        if mask:
            at = view.queued_at(mask)
            what = res.text(mask)
            self.report(view, f"overtakes the write of {what} queued at step {at}", key=what, related=(at,))
