"""The pieces of machine state that ops read and write, as bits of one mask.

A mask makes the scoreboard's questions one AND per op: what of this is still
queued, what of this does the next task need.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "CR3",
    "LDT",
    "GDT.TLS",
    "GDT",
    "IDT",
    "TSS.esp0",
    "EFLAGS.IOPL",
    "EFLAGS",
    "DR0",
    "DR1",
    "DR2",
    "DR3",
    "DR6",
    "DR7",
    "IO_BITMAP",
    "CR4.TSD",
    "CR0.TS",
    "FPU",
    "FPU.owner",
    "ds",
    "es",
    "fs",
    "gs",
    "fs.base",
    "gs.base",
    "DEBUGCTL",
    "SPEC_CTRL",
    "RSB",
    "current",
    "mm_cpumask",
    "TLB",
    "PTE",
)
"""Bit order; PTE without a label is the last one."""

BITS: Final[dict[str, int]] = {name: 1 << bit for bit, name in enumerate(NAMES)}

CR3: Final = BITS["CR3"]
LDT: Final = BITS["LDT"]
GDT_TLS: Final = BITS["GDT.TLS"]
TSS_ESP0: Final = BITS["TSS.esp0"]
IOPL: Final = BITS["EFLAGS.IOPL"]
CR4_TSD: Final = BITS["CR4.TSD"]
CR0_TS: Final = BITS["CR0.TS"]
FPU: Final = BITS["FPU"]
FPU_OWNER: Final = BITS["FPU.owner"]
"""TS_USEDFPU: whether the FPU holds the current task's registers."""
CURRENT: Final = BITS["current"]
MM_CPUMASK: Final = BITS["mm_cpumask"]
PTE: Final = BITS["PTE"]
TLB: Final = BITS["TLB"]
"""Flushed, not written: two flushes may come in either order, and neither makes up for the other."""
PARTLY: Final = PTE | TLB | BITS["GDT"] | BITS["IDT"]
"""What a write need not be all of: a second one may be of another entry or page."""
DR: Final = sum(bit for name, bit in BITS.items() if name.startswith("DR"))
SELECTORS: Final = BITS["ds"] | BITS["es"] | BITS["fs"] | BITS["gs"]

_LABEL_SHIFT: Final = len(NAMES)
ALL_PTES: Final = PTE | -(1 << _LABEL_SHIFT)
"""The unlabelled PTE and every labelled one, present and future."""

#: Spellings that options and op orders may use for a resource.
ALIASES: Final[dict[str, str]] = {
    "TLS": "GDT.TLS",
    "IOPL": "EFLAGS.IOPL",
    "TS": "CR0.TS",
    "TSD": "CR4.TSD",
    "CR4": "CR4.TSD",
    "BTF": "DEBUGCTL",
    "DR": "DR7",
    "SSBD": "SPEC_CTRL",
    "SP0": "TSS.esp0",
    "ESP0": "TSS.esp0",
    "IOBITMAP": "IO_BITMAP",
    "AC": "EFLAGS",
    "MASK": "mm_cpumask",
    "FSBASE": "fs.base",
    "GSBASE": "gs.base",
}

_labels: dict[str, int] = {}
_label_names: list[str] = []


def pte(label: str) -> int:
    """The bit of the PTE called *label*; "" is the unlabelled one."""
    if not label:
        return PTE
    bit = _labels.get(label)
    if bit is None:
        bit = _labels[label] = 1 << (_LABEL_SHIFT + len(_label_names))
        _label_names.append(label)
    return bit


def lookup(name: str) -> int | None:
    """The bit of a resource by any of its names, case aside; None when there is none."""
    for known, bit in BITS.items():
        if known.lower() == name.lower():
            return bit
    alias = ALIASES.get(name.upper())
    if alias is not None:
        return BITS[alias]
    if name.lower().startswith("pte:"):
        return pte(name[4:])
    return None


def names(mask: int) -> list[str]:
    """The names of the resources in *mask*, in bit order; labelled PTEs as ``PTE:label``."""
    found = [name for name, bit in BITS.items() if mask & bit]
    if mask < 0:
        return [*found, "PTE:*"]
    labels = mask >> _LABEL_SHIFT
    while labels:
        low = labels & -labels
        found.append(f"PTE:{_label_names[low.bit_length() - 1]}")
        labels ^= low
    return found


def text(mask: int) -> str:
    """*mask* for a message: names joined by ", "."""
    return ", ".join(names(mask)) or "nothing"
