"""P3 overlap: one lazy mode is entered while the other is on

What it does
    Fires when lazy CPU mode is entered inside a lazy MMU section, or the other
    way round. start_context_switch, which parks the section first (kernels from
    2.6.31), is silent, and so is enter_lazy_cpu under a policy that suspends by
    itself (x86-2009, generic2025).

Why it is bad
    There is one mode and one queue. The pending page-table writes of one task
    would be flushed in the context of the next, and the leave of the inner mode
    ends the outer one.

Example that fires
    pvreplay check 'enter_mmu set_pte:a begin enter_cpu load_tls leave_cpu end' --backend xen
      fires at step 3
    pvreplay check 'begin enter_cpu load_tls enter_mmu leave_mmu end' --backend xen
      fires at step 3

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a leave_mmu begin enter_cpu load_tls leave_cpu end' --backend xen
    pvreplay check 'enter_mmu set_pte:a begin start_cs load_tls end_cs end enter_mmu leave_mmu' --backend xen

What it cannot see
    Nothing known: both transitions are ops.

Bugs it would have caught
    The reason for b407fc57b815 ("x86/paravirt: flush pending mmu updates on
    context switch", v2.6.31-rc1).

Sources
    The seed thread: only one of CPU and MMU mode is active at a time.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_NAMES, MODE_NONE
from pvreplay.machine.view import MODE, PARKED, View
from pvreplay.rules.base import Rule
from pvreplay.rules.p1_nest import ENTERS


class Overlap(Rule):
    code = "P3"
    name = "overlap"
    severity = "error"
    summary = "one lazy mode is entered while the other is on"
    advice = "Leave (or park) the mode that is on before entering the other."
    ops = frozenset(ENTERS)

    def check(self, view: View) -> None:
        mode = ENTERS[view.name]
        if view.mode in (MODE_NONE, mode) or view.flags & PARKED or not view.flags & MODE:
            return
        self.report(
            view,
            f"enters {MODE_NAMES[mode]} mode, {MODE_NAMES[view.mode]} mode is on since step {view.entered}",
            key=MODE_NAMES[mode],
            related=(view.entered,),
        )
