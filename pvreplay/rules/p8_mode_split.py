"""P8 mode-split: the flag the scheduler looks at and the mode that is on disagree

What it does
    Fires when a switch starts (start_context_switch, sched_out) and the flag
    that says "this task is in lazy MMU mode" (flag_en, flag_dis) differs from
    the mode the CPU is in.

Why it is bad
    The switch parks or resumes by the flag. A task preempted between raising it
    and entering the mode is resumed into a mode it never entered, and then
    enters it again.

Example that fires
    pvreplay check 'flag_en begin start_cs end_cs end' --backend xen
      fires at step 2

Example that stays silent
    pvreplay check 'begin start_cs end_cs end' --backend xen
    pvreplay check 'flag_en enter_mmu begin start_cs end_cs end leave_mmu flag_dis' --backend xen

What it cannot see
    Anything, unless the flag's changes are recorded apart from the mode's. Whose
    flag a resume is keyed on: an order shows one task's.

Bugs it would have caught
    The regression of 291b3abed657 ("x86/xen: use lazy_mmu_state when
    context-switching") found on 7.0-rc1 (2026).

Sources
    xen-devel, May 2026; Qubes pull request 1275.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_MMU, MODE_NAMES
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class ModeSplit(Rule):
    code = "P8"
    name = "mode-split"
    severity = "error"
    summary = "the flag the scheduler looks at and the mode that is on disagree"
    advice = "Change flag and mode with preemption off, or key the switch on the mode itself."
    ops = frozenset({"start_context_switch", "sched_out"})
    needs = ("flag",)

    def check(self, view: View) -> None:
        flag = view.machine.flag
        if flag is None or flag == (view.mode == MODE_MMU):
            return
        says = "lazy MMU" if flag else "none"
        at = max((step.index for step in view.machine.steps if step.name.startswith("flag_")), default=-1)
        self.report(
            view, f"the flag says {says} (step {at}), the mode is {MODE_NAMES[view.mode]}", related=(at,)
        )
