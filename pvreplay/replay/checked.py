"""Which rules a trace could not break, because it does not record what they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pvreplay.machine.shape import ITEM_PARK, ITEM_SHIFT, MASKS, UNIT_SWITCH
from pvreplay.trace.events import Kind

if TYPE_CHECKING:
    from pvreplay.replay.histogram import Histogram
    from pvreplay.rules.base import Rule

INTERRUPTS = {"irq_enter", "nmi_enter", "nmi", "fault_enter", "fault"}
WHY = {
    "sleep": "the trace has no sleep events inside lazy MMU sections or switch windows",
    "irq": "the trace has no interrupts, NMIs or faults inside lazy MMU sections or switch windows",
    "switch_in_section": "the trace has no lazy MMU sections",
    "flag": "the trace does not record the scheduler's lazy-MMU flag beside the mode",
    "state": "the trace does not tell the task state that is wanted",
    "volatile": "nothing is declared volatile",
    "resident": "registers left behind a trap bit are allowed unless asked for",
    "shadow": "the trace has no reads of software copies",
    "mask": "the trace has no updates of mm_cpumask",
    "operand": "the trace does not name what queued operations point to",
    "scrub": "the trace does not record scrubbing of residue",
}


def not_checked(hist: Histogram, rules: Sequence[Rule]) -> dict[str, str]:
    """Rule code -> why it was not checked; a rule that could have fired is absent."""
    has = _present(hist)
    told = {}
    for rule in rules:
        missing = [need for need in rule.needs if need not in has]
        if missing:
            told[rule.code] = WHY[missing[0]]
    return told


def _present(hist: Histogram) -> set[str]:
    kinds = {item >> ITEM_SHIFT for sequence in hist.sequences for item in sequence}
    ops = {token.partition(":")[0] for token in hist.meta.ops}
    has = set()
    if Kind.SLEEP in kinds or "sleep" in ops:
        has.add("sleep")
    if kinds & {Kind.IRQ_ENTER, Kind.NMI_ENTER, Kind.FAULT_ENTER} or ops & INTERRUPTS:
        has.add("irq")
    if kinds & {Kind.ENTER_MMU, ITEM_PARK} or "enter_lazy_mmu" in ops or "enter_mmu" in ops:
        has.add("switch_in_section")
    for row in hist.rows:
        if row.unit_type == UNIT_SWITCH:
            has.add("state")
            if row.payload & MASKS["in_irq"]:
                has.update(("irq", "switch_in_section"))
    if ops & {"flag_en", "flag_dis"}:
        has.add("flag")
    if "shadow_use" in ops:
        has.add("shadow")
    if "set_mask" in ops:
        has.add("mask")
    if any("@" in token for token in hist.meta.ops) or ops & {"unmap", "free"}:
        has.add("operand")
    if "scrub" in ops:
        has.add("scrub")
    return has
