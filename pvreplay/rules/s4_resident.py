"""S4 resident: another task's registers stay loaded behind a trap bit

What it does
    With --no-resident: fires at the return to user mode when the switch set
    CR0.TS and neither restored nor cleared the FPU registers, so that they
    still hold the previous task's values.

Why it is bad
    The trap bit stops instructions, not speculation: the values can be read.

Example that fires
    pvreplay check 'begin fpu_save set_ts set_current end user' --backend native --no-resident
      fires at step 5

Example that stays silent
    pvreplay check 'begin fpu_save fpu_restore set_current end user' --backend native --no-resident
    pvreplay check 'begin fpu_save set_ts set_current end user' --backend native

What it cannot see
    Registers other than the FPU's. It is a policy, not an order: every kernel
    with a lazy FPU breaks it, so it must be asked for.

Bugs it would have caught
    CVE-2018-3665 (LazyFP), 5d2bd7009f30. XSA-190 (CVE-2016-7777): TS not honoured
    when an instruction is emulated.

Sources
    The commit and the advisories named.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Resident(Rule):
    code = "S4"
    name = "resident"
    severity = "security"
    summary = "another task's registers stay loaded behind a trap bit"
    advice = "Restore next's registers (or clear them) in the switch."
    ops = frozenset({"user"})
    needs = ("resident",)

    def check(self, view: View) -> None:
        machine = view.machine
        if not machine.context.no_resident:
            return
        for step in reversed(machine.steps):
            if step.disposition.writes & res.FPU or step.name == "clts":
                return
            if step.name == "write_cr0":
                self.report(
                    view,
                    f"FPU registers of the task that ran before step {step.index}",
                    related=(step.index,),
                )
                return
            if step.name == "begin":
                return
