"""S2 skip: a restore is skipped although others can change the value

What it does
    Fires at the end of a switch for a resource that is declared volatile (user
    code, hardware or another agent can change it behind the kernel's copy) and
    that the switch did not write.

Why it is bad
    The skip rests on a copy that proves nothing: the real value may be anything.

Example that fires
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend xen --volatile BTF
      fires at step 4

Example that stays silent
    pvreplay check 'begin enter_cpu load_tls debugctl leave_cpu end' --backend xen --volatile BTF
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend xen

What it cannot see
    What is volatile: an order says so with --volatile.

Bugs it would have caught
    XSA-293 (FSGSBASE behind a PV kernel), the FSGSBASE reports of 2020, Xen's
    c42494acb2 and eda98ea87080.

Sources
    Red Hat bug 1679327; xen-devel 2020-07/171.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Skip(Rule):
    code = "S2"
    name = "skip"
    severity = "security"
    summary = "a restore is skipped although others can change the value"
    advice = "Write the value on every switch, or read the real one before skipping."
    ops = frozenset({"end"})
    needs = ("volatile",)

    def check(self, view: View) -> None:
        machine = view.machine
        skipped = machine.context.volatile & ~machine.issued
        if skipped and view.in_window:
            what = res.text(skipped)
            self.report(view, f"{what} is volatile and was not written", key=what)
