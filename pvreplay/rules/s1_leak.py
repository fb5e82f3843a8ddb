"""S1 leak: user mode is entered with state of another task

What it does
    Fires at the return to user mode (in a replayed switch: at its end, when
    next is a user task) for state that differs between the hardware and what
    next must have, was not written in the switch, and is not restored by the
    hardware itself.

Why it is bad
    Next runs with the previous task's privilege: an I/O privilege level, TLS,
    flags.

Example that fires
    pvreplay check 'begin enter_cpu load_tls leave_cpu end user' --backend xen --want IOPL=0 --hw IOPL=3
      fires at step 5
    pvreplay check 'begin end user' --backend native --want EFLAGS=0 --hw EFLAGS=AC
      fires at step 2

Example that stays silent
    pvreplay check 'begin enter_cpu set_iopl leave_cpu end user' --backend xen --want IOPL=0 --hw IOPL=3
    pvreplay check 'begin load_tls end user' --backend native --want IOPL=0 --hw IOPL=3

What it cannot see
    Whether the value written is the right one. State the trace does not hold.
    Of a replayed switch CR3, LDT, TLS, TSS.esp0, IOPL, the TSC flag, CR0.TS of a
    lazy FPU, the user segment and (up to 2.6.32) debug registers are compared;
    not the I/O bitmap, which older kernels change without an op, nor block
    stepping.

Bugs it would have caught
    CVE-2016-3157 (XSA-171), b7a584598aea ("properly context-switch IOPL on Xen
    PV", v4.6-rc1). CVE-2006-5173 and 6690e86be83a (EFLAGS.AC). Xen's
    7d8b5dd98463 (xsave components) and, in the other direction, 972523bcefe2.

Sources
    On native the flags pop of switch_to restores IOPL at CPL 0 (Linux v2.6.21
    include/asm-i386/system.h:18-29); at any other level it does not.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Leak(Rule):
    code = "S1"
    name = "leak"
    severity = "security"
    summary = "user mode is entered with state of another task"
    advice = "Write the state in the switch, or where next returns to user mode."
    ops = frozenset({"user", "end"})
    needs = ("state",)

    def check(self, view: View) -> None:
        machine = view.machine
        context = machine.context
        if view.name == "end" and not context.to_user:
            return
        leaked = context.differs & ~machine.issued & ~machine.backend.implicit
        if leaked:
            what = res.text(leaked)
            self.report(view, f"{what} is still the previous task's", key=what)
