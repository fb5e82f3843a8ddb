"""W2 forced-flush: an op in the middle of a lazy mode empties the queue

What it does
    Fires when an op that is neither a transition nor a flush drains a queue that
    held something: a Xen op of the other mode's class, a GDT, LDT or IDT entry
    written in between, any real hypercall on lguest.

Why it is bad
    The batch is cut in two: one more crossing.

Example that fires
    pvreplay check 'begin enter_cpu write_cr3 flush_tlb_user load_tls leave_cpu end' --backend xen
      fires at step 3
    pvreplay check 'begin enter_cpu write_cr3 write_gdt_entry load_tls leave_cpu end' --backend lguest
      fires at step 3

Example that stays silent
    pvreplay check 'begin enter_cpu write_cr3 load_tls leave_cpu flush_tlb_user end' --backend xen
    pvreplay check 'begin enter_cpu write_cr3 flush_tlb_user load_tls leave_cpu end' --backend native

What it cannot see
    A queue that was full: that is its size, not an op's fault.

Bugs it would have caught
    None on record. Xen's first write_cr3 (v2.6.23) turned a repeated cr3 into a
    TLB flush, which empties the batch; 9f79991d418 changed it.

Sources
    arch/x86/xen/multicalls.h (xen_mc_issue), Linux v2.6.24
    drivers/lguest/hypercalls.c:107-150.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_NAMES
from pvreplay.machine.view import DRAINED, View
from pvreplay.rules.base import Rule


class ForcedFlush(Rule):
    code = "W2"
    name = "forced-flush"
    severity = "perf"
    summary = "an op in the middle of a lazy mode empties the queue"
    advice = "Move the op before the mode is entered or after it is left."
    flags = DRAINED

    def check(self, view: View) -> None:
        if view.mode:
            entries = "1 entry" if view.flushed == 1 else f"{view.flushed} entries"
            self.report(
                view, f"flushes {entries} inside {MODE_NAMES[view.mode]} mode", related=(view.entered,)
            )
