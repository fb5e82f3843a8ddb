"""S3 scrub: residue that belongs to nobody is left for the next task

What it does
    Fires at the end of a switch for residue that must be cleared there (named
    with --scrub: the return stack, an I/O bitmap) and was not.

Why it is bad
    Nobody restores it for next, so next can measure or use what prev left.

Example that fires
    pvreplay check 'begin load_tls end' --backend native --scrub RSB
      fires at step 2

Example that stays silent
    pvreplay check 'begin scrub:rsb load_tls end' --backend native --scrub RSB
    pvreplay check 'begin io_bitmap load_tls end' --backend native --scrub IO_BITMAP

What it cannot see
    Residue nobody declared.

Bugs it would have caught
    CVE-2018-15572, fdf82a7856b3 (RSB). CVE-2019-18660, 39e72bf96f58 (powerpc link
    stack). CVE-2019-14615, bc8a76a152c5 (i915). 22fe5b0439dd (2019) is the rule
    applied: invalidate the I/O bitmap on switch-out.

Sources
    The commits named.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class Scrub(Rule):
    code = "S3"
    name = "scrub"
    severity = "security"
    summary = "residue that belongs to nobody is left for the next task"
    advice = "Clear it when the task is switched out."
    ops = frozenset({"end"})
    needs = ("scrub",)

    def check(self, view: View) -> None:
        machine = view.machine
        left = machine.context.scrub & ~machine.issued
        if left and view.in_window:
            what = res.text(left)
            self.report(view, f"{what} was not cleared", key=what)
