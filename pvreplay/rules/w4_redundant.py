"""W4 redundant: the value is already there

What it does
    Fires when an op that costs something writes a value that is known to be in
    place: TLS descriptors that do not differ between the tasks, or whatever an
    order says is equal with --want and --hw.

Why it is bad
    Up to three queue entries a switch that change nothing.

Example that fires
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend xen --want TLS=A --hw TLS=A
      fires at step 2

Example that stays silent
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend xen --want TLS=B --hw TLS=A
    pvreplay check 'begin enter_cpu load_tls leave_cpu end' --backend vmi --want TLS=A --hw TLS=A
    pvreplay check 'begin load_tls end' --backend native --want TLS=A --hw TLS=A

What it cannot see
    Values the trace does not hold: only TLS is compared in a replayed switch.

Bugs it would have caught
    1c32cdc633c9 ("x86/xen: avoid updating TLS descriptors if they haven't
    changed", 2012): 9 % of lat_ctx as reported. Xen's 9478ee4a1501 ("x86/xstate:
    Elide redundant writes in set_xcr0()").

Sources
    The commits named; VMI compares each slot with the live GDT (Linux v2.6.21
    arch/i386/kernel/vmi.c:199).
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Redundant(Rule):
    code = "W4"
    name = "redundant"
    severity = "perf"
    summary = "the value is already there"
    advice = "Compare with the value in place and skip the write."
    ops = frozenset(
        {"load_tls", "set_ldt", "write_cr3", "set_iopl_mask", "write_cr4", "set_debugreg", "write_msr"}
    )
    needs = ("state",)

    def check(self, view: View) -> None:
        same = view.disposition.writes & view.machine.context.same
        if same and view.in_window and (view.hypercalls or view.entries or view.traps or view.rom_calls):
            what = res.text(same)
            self.report(view, f"{what} is already what next needs", key=what)
