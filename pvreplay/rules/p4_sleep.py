"""P4 sleep: something that may block, in a lazy mode or inside the switch

What it does
    Fires at a sleep while a lazy mode is on or while the switch window is open.

Why it is bad
    The mode is per CPU: the next task would run in it, and the sleeper would
    wake up on another CPU with its queue left behind. Inside the switch there
    is no task that could sleep: half of the state is already the next one's.

Example that fires
    pvreplay check 'begin load_tls sleep fpu_restore end' --backend native
      fires at step 2
    pvreplay check 'enter_mmu sleep set_pte:a leave_mmu' --backend xen
      fires at step 1

Example that stays silent
    pvreplay check 'sleep begin load_tls fpu_restore end' --backend native
    pvreplay check 'sleep enter_mmu set_pte:a leave_mmu' --backend xen

What it cannot see
    Code that might sleep but did not; only sleep events count.

Bugs it would have caught
    870568b39064 ("x86, fpu: fix CONFIG_PREEMPT=y corruption of application's
    FPU stack", v2.6.26-rc5). 6748dd091962 ("kasan: avoid sleepable page
    allocation from atomic context", 2025).

Sources
    6606c3e0da53 ("paravirt: lazy mmu mode hooks.patch", v2.6.19-rc1): under the
    page-table lock. include/linux/pgtable.h at the end of 2025: must not sleep.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_NAMES
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Sleep(Rule):
    code = "P4"
    name = "sleep"
    severity = "error"
    summary = "something that may block, in a lazy mode or inside the switch"
    advice = "Do what may block before the mode is entered, or after the switch."
    ops = frozenset({"sleep"})
    needs = ("sleep",)

    def check(self, view: View) -> None:
        if view.mode:
            self.report(
                view,
                f"{MODE_NAMES[view.mode]} mode is on since step {view.entered}",
                key="mode",
                related=(view.entered,),
            )
        elif view.in_window:
            start = view.machine.window_start
            self.report(view, f"inside the switch that began at step {start}", key="window", related=(start,))
