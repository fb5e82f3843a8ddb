"""P2 unpaired: a leave without its enter, or an enter without its leave

What it does
    Fires when a lazy mode is left that is not the one that is on, and at the
    end of the trace (or order) for a mode that is still on.

Why it is bad
    A leave writes "no mode" whatever the mode was, so it ends somebody else's
    section; from 2.6.24 it is a BUG. A mode that stays on keeps queueing writes
    whose callers expect them to be done.

Example that fires
    pvreplay check 'enter_mmu set_pte:a leave_mmu leave_mmu' --backend xen
      fires at step 3
    pvreplay check 'begin enter_cpu load_tls leave_mmu end' --backend xen
      fires at step 3
    pvreplay check 'enter_mmu set_pte:a' --backend xen
      fires at step 0

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a leave_mmu' --backend xen
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend xen

What it cannot see
    A section that began before the trace: its leave looks unpaired.

Bugs it would have caught
    The outer leave of every nested section (see P1). A forgotten leave is a
    constructed case.

Sources
    The seed thread: always paired; leave is a plain "set mode NONE".
    8965c1c0950d ("paravirt: clean up lazy mode handling", v2.6.24-rc1): BUG on
    leaving a mode that is not the current one.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_CPU, MODE_MMU, MODE_NAMES, MODE_NONE
from pvreplay.machine.machine import Machine
from pvreplay.machine.view import MODE, View
from pvreplay.rules.base import Rule

LEAVES = {
    "leave_lazy_cpu": MODE_CPU,
    "end_context_switch": MODE_CPU,
    "leave_lazy_mmu": MODE_MMU,
    "park": MODE_MMU,
}


class Unpaired(Rule):
    code = "P2"
    name = "unpaired"
    severity = "error"
    summary = "a leave without its enter, or an enter without its leave"
    advice = "Pair every enter with one leave of the same mode on every way out."
    ops = frozenset(LEAVES)
    judges_end = True

    def check(self, view: View) -> None:
        mode = LEAVES[view.name]
        if view.mode == mode or not view.flags & MODE:
            return
        what = MODE_NAMES[mode]
        if view.mode == MODE_NONE:
            self.report(view, f"leaves {what} mode, no mode is on", key=f"leave {what}")
        else:
            self.report(
                view,
                f"leaves {what} mode, {MODE_NAMES[view.mode]} mode is on since step {view.entered}",
                key=f"leave {what}",
                related=(view.entered,),
            )

    def at_end(self, machine: Machine) -> None:
        if machine.mode == MODE_NONE:
            return
        what = MODE_NAMES[machine.mode]
        view = machine.steps[min(machine.entered, len(machine.steps) - 1)]
        self.report(view, f"{what} mode is never left", key=f"end {what}")
