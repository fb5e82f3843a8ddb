"""W3 dead-write: a queued write is overwritten in the same batch

What it does
    Fires when a resource is written twice in one batch with no read in between.
    PTEs count only when they are labelled; TLB flushes and entries of descriptor
    tables do not, for each may be of another page or entry.

Why it is bad
    The first write is work for nothing: an entry, a hypercall's worth of
    handling, and for CR0.TS an expensive control-register write.

Example that fires
    pvreplay check 'begin enter_cpu set_ts clts leave_cpu fpu_restore end' --backend xen
      fires at step 3
    pvreplay check 'enter_mmu set_pte:a set_pte:a leave_mmu' --backend xen
      fires at step 2

Example that stays silent
    pvreplay check 'begin enter_cpu clts leave_cpu fpu_restore end' --backend xen
    pvreplay check 'enter_mmu set_pte:a set_pte:b leave_mmu' --backend xen
    pvreplay check 'enter_mmu set_pte flush_tlb_single:a flush_tlb_single:b leave_mmu' --backend xen
    pvreplay check 'begin enter_cpu set_ts clts leave_cpu fpu_restore end' --backend native

What it cannot see
    Writes that are done at once: setting and clearing TS natively is as wasteful,
    but nothing is queued.

Bugs it would have caught
    34ddc81a230b ("i387: re-introduce FPU state preloading at context switch
    time", 3.3): do not set TS to clear it again.

Sources
    The commit named.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import DEAD, View
from pvreplay.rules.base import Rule


class DeadWrite(Rule):
    code = "W3"
    name = "dead-write"
    severity = "perf"
    summary = "a queued write is overwritten in the same batch"
    advice = "Leave the first write out when the second is certain."
    flags = DEAD

    def check(self, view: View) -> None:
        at = view.queued_at(view.dead)
        what = res.text(view.dead)
        self.report(view, f"{what} was queued at step {at} and nothing read it", key=what, related=(at,))
