"""H4 stale-read: a consumer runs before next's value has been written at all

What it does
    Fires in a switch window when a selector is loaded while the GDT's TLS
    entries (or the LDT) are still those of the previous task, differ from what
    next needs, and their write has not even been issued. The same for FPU
    registers that are loaded while CR0.TS is to be cleared and is not.

Why it is bad
    The segment register gets the previous task's base, on bare metal too: a
    leak of address-space layout and a crash waiting to happen. An FPU load with
    TS set faults inside the switch.

Example that fires
    pvreplay check 'begin load_sp0 loadsegment:es load_tls loadsegment:fs end' --want TLS=B --hw TLS=A
      fires at step 2
    pvreplay check 'begin fpu_restore clts end' --want TS=0 --hw TS=1
      fires at step 1

Example that stays silent
    pvreplay check 'begin load_sp0 load_tls loadsegment:es loadsegment:fs end' --want TLS=B --hw TLS=A
    pvreplay check 'begin load_sp0 loadsegment:es load_tls loadsegment:fs end' --want TLS=A --hw TLS=A
    pvreplay check 'begin clts fpu_restore end' --want TS=0 --hw TS=1

What it cannot see
    Which descriptor a selector names, unless its value is given: a load is
    taken to depend on TLS and LDT both.

Bugs it would have caught
    CVE-2014-9419, repaired by f647d7c155f0 (v3.19-rc1): "Load TLS descriptors
    before switching DS and ES".

Sources
    arch/x86/kernel/process_64.c before and after f647d7c155f0.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class StaleRead(Rule):
    code = "H4"
    name = "stale-read"
    severity = "error"
    summary = "a consumer runs before next's value has been written at all"
    advice = "Write (and flush) it before it is read: descriptors before selectors, TS before the FPU."
    ops = frozenset({"loadsegment", "load_gs_index", "fpu_restore"})
    needs = ("state",)

    def check(self, view: View) -> None:
        machine = view.machine
        if not view.in_window:
            return
        needed = machine.context.differs & ~machine.issued & ~machine.backend.implicit
        stale = view.disposition.token.reads & needed
        if stale:
            what = res.text(stale)
            self.report(view, f"{what} is still the previous task's", key=what)
