"""H3b war-operand: a mapping goes away while a queued op still names it

What it does
    Fires when a mapping is taken down while a queued write was given its
    operand through that mapping (set_pte:a@kmap0 ... unmap:kmap0).

Why it is bad
    A queued op is looked at when it is flushed. By then the mapping may be gone
    or belong to somebody else: the write goes astray.

Example that fires
    pvreplay check 'enter_mmu set_pte:a@kmap0 unmap:kmap0 leave_mmu' --backend vmi
      fires at step 2

Example that stays silent
    pvreplay check 'enter_mmu set_pte:a@kmap0 leave_mmu unmap:kmap0' --backend vmi
    pvreplay check 'enter_mmu set_pte:a@kmap0 unmap:kmap0 leave_mmu' --backend native

What it cannot see
    Mappings the trace does not name with @.

Bugs it would have caught
    VMI with page tables in high memory: the PTE page's kmap slot is gone by the
    time the ROM looks (comment in arch/x86/kernel/vmi_32.c). 23002d88be30
    ("paravirt: kpte flush", v2.6.19-rc1): flush when a kmap is cleared.

Sources
    Linux v2.6.25-rc1 arch/x86/kernel/vmi_32.c at 014b15be30c0; 23002d88be30.
"""

from __future__ import annotations

from pvreplay.machine.view import View
from pvreplay.rules.base import Rule


class WarOperand(Rule):
    code = "H3b"
    name = "war-operand"
    severity = "error"
    summary = "a mapping goes away while a queued op still names it"
    advice = "Flush before the mapping is taken down."
    ops = frozenset({"unmap"})
    needs = ("operand",)

    def check(self, view: View) -> None:
        label = view.disposition.token.operand
        at = view.machine.vias.get(label)
        if at is not None:
            self.report(view, f"{label} is named by the write queued at step {at}", key=label, related=(at,))
