"""W1 lost-batch: a deferrable op in the switch, but outside the lazy mode

What it does
    Fires for an op the back end would have queued, when it is done in the
    switch window before lazy CPU mode is entered or after it is left. Windows
    that never enter the mode are not judged.

Why it is bad
    The op is a hypercall (or trap) of its own instead of one more entry of the
    batch that is flushed anyway.

Example that fires
    pvreplay check 'begin enter_cpu load_tls leave_cpu load_sp0 end' --backend xen
      fires at step 4
    pvreplay check 'begin load_sp0 enter_cpu load_tls leave_cpu end' --backend lguest
      fires at step 1

Example that stays silent
    pvreplay check 'begin enter_cpu load_tls load_sp0 leave_cpu end' --backend xen
    pvreplay check 'begin enter_cpu load_tls set_iopl leave_cpu end' --backend xen
    pvreplay check 'begin enter_cpu load_tls leave_cpu load_sp0 end' --backend native

What it cannot see
    Whether the op could be moved: some must wait for the flush. An op that the
    back end cannot defer at all (IOPL, debug registers and CR4 on Xen) is not
    the caller's loss; the report's notes count those.

Bugs it would have caught
    The CR4.TSD write after the leave in the first patch (2006), inside it when
    merged. clts after the leave until 2fcddce10f6 ("x86-32: make sure clts is
    batched during context switch", 2.6.32). load_sp0 moved after the batch
    (compare f647d7c155f0 with b7a584598aea).

Sources
    The seed thread: what belongs into the window.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_CPU
from pvreplay.machine.view import OUTSIDE, View
from pvreplay.rules.base import Rule


class LostBatch(Rule):
    code = "W1"
    name = "lost-batch"
    severity = "perf"
    summary = "a deferrable op in the switch, but outside the lazy mode"
    advice = "Move the op between entering and leaving lazy CPU mode, if nothing before the flush needs it."
    flags = OUTSIDE
    ops = frozenset({"enter_lazy_cpu", "start_context_switch"})

    def check(self, view: View) -> None:
        machine = view.machine
        if view.flags & OUTSIDE:
            if machine.window_used_cpu:
                self.report(view, "after lazy CPU mode was left: not batched")
            return
        if view.in_window and machine.mode == MODE_CPU:
            for early in machine.early:
                message = "before lazy CPU mode is entered: not batched"
                self.report(early, message, key="early", related=(view.index,))
            machine.early.clear()
