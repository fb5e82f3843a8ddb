"""H3a war-live: a write invalidates what a live selector, or a save still to come, depends on

What it does
    Two cases, both around load_tls on a back end whose hypervisor saves and
    reloads the guest's selectors (Xen, lguest). First: fs or gs still holds a
    selector of the previous task's TLS when the descriptors are rewritten.
    Second: fs or gs is saved after a load_tls in lazy CPU mode, which clears it.

Why it is bad
    First: the hypervisor reloads the stale selector on the next hypercall and
    faults; the fault about doubles the cost of the switch. Second: the saved
    selector is 0 and the task's own one is lost.

Example that fires
    pvreplay check 'begin enter_cpu save_seg:gs load_tls leave_cpu loadsegment:gs end' --backend xen --live gs
      fires at step 3
    pvreplay check 'begin enter_cpu load_tls save_seg:fs leave_cpu end' --backend xen
      fires at step 3

Example that stays silent
    pvreplay check 'begin enter_cpu save_seg:gs loadsegment:gs=0 load_tls end_cs end' --backend xen --live gs
    pvreplay check 'begin enter_cpu save_seg:fs load_tls leave_cpu end' --backend xen
    pvreplay check 'begin enter_cpu load_tls save_seg:fs leave_cpu end' --backend native

What it cannot see
    What a selector holds: an order says so with --live. In a replayed switch
    the built-in Xen and lguest clear the selector themselves, so the first case
    occurs only with a back end file that leaves "clears" out. Which of fs and
    gs is cleared depends on the architecture; saving either one late is told.

Bugs it would have caught
    8b84ad942b5 ("xen: hack to prevent bad segment register reload",
    v2.6.23-rc1). 8a95408e183 ("xen64: Clear %fs on xen_load_tls()",
    v2.6.27-rc1) and the rule it made: save before load_tls.

Sources
    The two commits; Linux v2.6.21 arch/i386/kernel/process.c:658-667.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule

USER_SEGMENTS = res.BITS["fs"] | res.BITS["gs"]


class WarLive(Rule):
    code = "H3a"
    name = "war-live"
    severity = "error"
    summary = "a write invalidates what a live selector, or a save still to come, depends on"
    advice = "Save fs and gs, and null the one that is live, before load_tls."
    ops = frozenset({"load_tls", "savesegment"})

    def check(self, view: View) -> None:
        machine = view.machine
        if view.name == "load_tls":
            live = machine.context.live & USER_SEGMENTS & ~machine.issued
            if live and machine.backend.reloads_selectors:
                self.report(view, f"{res.text(live)} still names a TLS entry", key="live")
        elif machine.clobbered and view.disposition.reads & USER_SEGMENTS & ~machine.issued:
            at = max(step.index for step in machine.steps if step.name == "load_tls")
            what = res.text(view.disposition.reads & USER_SEGMENTS)
            self.report(
                view, f"{what} may have been cleared by load_tls at step {at}", key="save", related=(at,)
            )
