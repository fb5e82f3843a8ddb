"""W5 tiny-batch: a lazy mode that costs more than it saves

What it does
    Fires when a lazy mode is left after at most one deferrable op and that took
    more hypercalls than the op would have taken by itself: a flush hypercall
    with nothing queued (lguest). And for ROM calls around nothing (VMI). A
    section of one op that crosses once is not told: alone the op crosses once too.

Why it is bad
    The mode is pure overhead.

Example that fires
    pvreplay check 'enter_mmu leave_mmu' --backend lguest
      fires at step 1
    pvreplay check 'enter_mmu read_pte leave_mmu' --backend vmi
      fires at step 2

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a set_pte:b leave_mmu' --backend lguest
    pvreplay check 'enter_mmu set_pte:a leave_mmu' --backend xen
    pvreplay check 'enter_mmu leave_mmu' --backend xen

What it cannot see
    The cost of a transition that makes no call at all.

Bugs it would have caught
    None on record; ad449d856bd7 (2025) narrows a section for other reasons.

Sources
    Linux 2.6.35.7 arch/x86/lguest/boot.c:196-205 (the unconditional flush).
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_NAMES
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule
from pvreplay.rules.p2_unpaired import LEAVES


class TinyBatch(Rule):
    code = "W5"
    name = "tiny-batch"
    severity = "perf"
    summary = "a lazy mode that costs more than it saves"
    advice = "Enter the mode only when there is more than one op to defer."
    ops = frozenset(LEAVES)

    def check(self, view: View) -> None:
        mode = LEAVES[view.name]
        ops = view.deferred
        if view.mode != mode or ops > 1:
            return
        if view.hypercalls > ops or (ops == 0 and view.rom_calls):
            what = "nothing" if ops == 0 else "one op"
            self.report(view, f"{what} was deferred in {MODE_NAMES[mode]} mode", related=(view.entered,))
