"""H1 raw-queued: an op reads what is still queued

What it does
    Fires when an op takes effect at once and reads a resource whose write was
    queued earlier and has not been flushed: a selector load while the TLS
    descriptors are queued, an FPU restore while the clearing of TS is queued,
    a PTE read back inside a lazy MMU section. The same for an interrupt, NMI or
    fault whose handler reads such a resource, named as its operand
    (irq_enter:PTE:k); a handler that reads two which must agree is P7's.

Why it is bad
    The hardware (or the page table in memory) still holds the old value. The
    segment register gets the previous task's base, the FPU instruction faults
    inside the switch, the caller works with a stale PTE.

Example that fires
    pvreplay check 'begin enter_cpu write_cr3 load_tls loadsegment:fs leave_cpu end' --backend xen
      fires at step 4
    pvreplay check 'begin enter_cpu load_tls clts fpu_restore leave_cpu end' --backend xen
      fires at step 4
    pvreplay check 'enter_mmu set_pte:s read_pte:s set_pte:d leave_mmu' --backend xen
      fires at step 2
    pvreplay check 'enter_mmu set_pte:k irq_enter read_pte:k set_pte:k irq_exit leave_mmu' --backend kvm
      fires at step 3
    pvreplay check 'enter_mmu set_pte:u set_pte:kmap touch:kmap leave_mmu' --backend xen
      fires at step 3
    pvreplay check 'begin enter_cpu load_tls fault:TLS leave_cpu end' --backend xen
      fires at step 3

Example that stays silent
    pvreplay check 'begin enter_cpu write_cr3 load_tls leave_cpu loadsegment:fs end' --backend xen
    pvreplay check 'begin enter_cpu load_tls clts leave_cpu fpu_restore end' --backend xen
    pvreplay check 'enter_mmu set_pte:s flush read_pte:s set_pte:d leave_mmu' --backend xen
    pvreplay check 'enter_mmu set_pte:k irq_enter flush read_pte:k set_pte:k irq_exit leave_mmu' --backend kvm
    pvreplay check 'enter_mmu set_pte:u set_pte:kmap flush touch:kmap leave_mmu' --backend xen
    pvreplay check 'begin enter_cpu write_cr3 load_tls loadsegment:fs leave_cpu end' --backend native
    pvreplay check 'begin enter_cpu load_tls leave_cpu fault:TLS end' --backend xen

What it cannot see
    Reads that are no op of the trace: what an interrupt or fault handler looks
    at, unless its reads are recorded or its operand names them. A PTE without a
    label is any PTE: a read back without one is taken to be of a queued one.

Bugs it would have caught
    The order the first patch's comments forbid (2006): TLS and LDT before the
    selectors, TS before the FPU image. copy_pte_range re-reading a PTE set in
    lazy mode (2025). CPA called from an interrupt inside a lazy section:
    4f06b0436b2d ("x86/cpa: make sure cpa is safe to call in lazy mmu mode",
    v2.6.29-rc6). kmap_atomic without a flush in v2.6.31 - 2.6.35.

Sources
    LKML, 2006-12-12, Zachary Amsden, "Paravirt cpu batching";
    Linux v2.6.21 arch/i386/kernel/process.c:693-699;
    6606c3e0da53 ("paravirt: lazy mmu mode hooks.patch", v2.6.19-rc1).
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import RAW, View
from pvreplay.rules.base import Rule
from pvreplay.rules.p7_window import EVENTS, reads_alone


class RawQueued(Rule):
    code = "H1"
    name = "raw-queued"
    severity = "error"
    summary = "an op reads what is still queued"
    advice = "Flush or leave the lazy mode before the read."
    flags = RAW
    ops = EVENTS

    def check(self, view: View) -> None:
        machine = view.machine
        if view.name in EVENTS:
            queued = reads_alone(view.disposition.token.operand) & machine.pending
            at = min((step for bit, step in machine.since.items() if bit & queued), default=-1)
        else:
            queued, at = view.raw, view.queued_at(view.raw)
        if not queued:
            return
        what = res.text(queued)
        self.report(view, f"{what} still queued since step {at}", key=what, related=(at, view.entered))
