"""W6 trap-read: a privileged read traps where a copy would do

What it does
    Fires when CR0 or CR4 is read by an instruction the hypervisor has to
    emulate.

Why it is bad
    A trap costs as much as a hypercall or more, it cannot be batched, and the
    kernel wrote the value itself.

Example that fires
    pvreplay check 'begin enter_cpu read_cr0 set_ts leave_cpu end' --backend xen --kernel 2.6.30
      fires at step 2

Example that stays silent
    pvreplay check 'begin enter_cpu read_cr0 set_ts leave_cpu end' --backend xen --kernel 2.6.31
    pvreplay check 'begin enter_cpu read_cr0 set_ts leave_cpu end' --backend native --kernel 2.6.30

What it cannot see
    Whether the hypervisor changes the register behind the guest's back. MSR reads
    are not judged: some are volatile.

Bugs it would have caught
    a789ed5fb6d0 ("xen: cache cr0 value to avoid trap'n'emulate for read_cr0",
    v2.6.31-rc1).

Sources
    The commit named.
"""

from __future__ import annotations

from pvreplay.machine.view import TRAPPED, View
from pvreplay.rules.base import Rule


class TrapRead(Rule):
    code = "W6"
    name = "trap-read"
    severity = "perf"
    summary = "a privileged read traps where a copy would do"
    advice = "Keep a per-CPU copy of the register and read that."
    flags = TRAPPED

    def check(self, view: View) -> None:
        if view.name in ("read_cr0", "read_cr4"):
            self.report(view, "emulated by the hypervisor")
