"""P9 exit-dirty: the switch ends, or user mode is entered, with a mode on or writes queued

What it does
    Fires at the end of a switch, at the return to user mode, at idle and at the
    unlock of the lock that covers a section, when a lazy mode is still on or
    the queue still holds something. (A lazy MMU section may outlive a switch
    that interrupts it only by being parked; that is P5's business.)

Why it is bad
    What runs next relies on writes that have not happened, and the next enter
    finds a mode on.

Example that fires
    pvreplay check 'begin enter_cpu load_tls end' --backend xen
      fires at step 3
    pvreplay check 'lock enter_mmu set_pte:a unlock leave_mmu' --backend xen
      fires at step 3

Example that stays silent
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend xen
    pvreplay check 'lock enter_mmu set_pte:a leave_mmu unlock' --backend xen

What it cannot see
    Which lock covers a section: only unlock events of that lock belong in the
    trace.

Bugs it would have caught
    a741e6796957 ("[POWERPC] Make tlb flush batch use lazy MMU mode",
    v2.6.22-rc1): the earlier batching lost its lock before the flush.

Sources
    The seed thread: always paired. 6606c3e0da53 ("paravirt: lazy mmu mode
    hooks.patch", v2.6.19-rc1): enter and leave under the page-table lock.
"""

from __future__ import annotations

from pvreplay.machine.backend import MODE_CPU, MODE_NAMES, MODE_NONE
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule

EXITS = frozenset({"end", "user", "idle", "unlock"})


class ExitDirty(Rule):
    code = "P9"
    name = "exit-dirty"
    severity = "error"
    summary = "the switch ends, or user mode is entered, with a mode on or writes queued"
    advice = "Leave the mode (which flushes) before this point."
    ops = EXITS

    def check(self, view: View) -> None:
        machine = view.machine
        if view.name == "end":
            on = view.mode == MODE_CPU
            queued = machine.queue.length > 0 and view.mode == MODE_NONE
        else:
            on = view.mode != MODE_NONE
            queued = machine.queue.length > 0
        if on:
            self.report(
                view,
                f"{MODE_NAMES[view.mode]} mode is on since step {view.entered}",
                key="mode",
                related=(view.entered,),
            )
        elif queued:
            at = min(machine.since.values(), default=view.index)
            self.report(view, f"{machine.queue.length} queued since step {at}", key="queue", related=(at,))
