"""P1 nest: a lazy mode is entered while it is on

What it does
    Fires when lazy CPU or lazy MMU mode is entered and that same mode is on.
    The policies seed2006, x86-2009 and strict-nopreempt forbid it; generic2025
    counts nested lazy MMU sections and stays silent for them.

Why it is bad
    There is one mode variable and no counter: the inner leave ends the outer
    section, the rest of it runs unbatched, and the outer leave finds no mode to
    leave. From 2.6.24 the kernel stops with a BUG.

Example that fires
    pvreplay check 'enter_mmu set_pte:a enter_mmu set_pte:b leave_mmu set_pte:c leave_mmu' --backend xen
      fires at step 2

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a set_pte:b set_pte:c leave_mmu' --backend xen
    pvreplay check 'enter_mmu set_pte:a enter_mmu leave_mmu leave_mmu' --backend xen --policy generic2025

What it cannot see
    Whether a counter in the task keeps nesting harmless on an architecture the
    policies do not describe.

Bugs it would have caught
    bcc6cc832573 put enter and leave into set_ptes() (2023): sections nest, Xen PV
    guests stop with a BUG (Qubes issue 9552); repaired by counting per CPU
    (49147beb0ccb), which breaks preemption and was reverted (c36549ff8d84).
    DEBUG_PAGEALLOC and KFENCE entering the mode inside an allocation (2025).

Sources
    The seed thread: never nested. 8965c1c0950d ("paravirt: clean up lazy mode
    handling", v2.6.24-rc1): BUG on entering while any mode is on.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_CPU, MODE_MMU, MODE_NAMES
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule

ENTERS = {
    "enter_lazy_cpu": MODE_CPU,
    "start_context_switch": MODE_CPU,
    "enter_lazy_mmu": MODE_MMU,
    "resume": MODE_MMU,
}


class Nest(Rule):
    code = "P1"
    name = "nest"
    severity = "error"
    summary = "a lazy mode is entered while it is on"
    advice = "Leave the mode first, or keep the inner section from entering it."
    ops = frozenset(ENTERS)

    def check(self, view: View) -> None:
        mode = ENTERS[view.name]
        if view.mode != mode:
            return
        if mode == MODE_MMU and view.machine.policy.nesting != "forbidden":
            return
        self.report(
            view,
            f"{MODE_NAMES[mode]} mode is on since step {view.entered}",
            key=MODE_NAMES[mode],
            related=(view.entered,),
        )
