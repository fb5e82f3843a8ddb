"""The shape of a switch: the guards of the switch path that were true, as a bit field.

The replay loop computes a 64-bit *unit* per switch (and per event outside a
switch that costs something) and only counts how often each occurs.  Pricing
steps every distinct unit once.  The names are those that kernel files use in
their ``when`` expressions.
"""

from __future__ import annotations

from typing import Final

# --- what kind of thing is counted: bits 16-23 of the "who" word -------------
UNIT_SWITCH: Final = 0
UNIT_NM: Final = 1
"""A device-not-available fault (#NM): the payload is 0."""
UNIT_LEAVE_MM: Final = 2
"""leave_mm() from a flush IPI that hit a CPU in lazy TLB state: payload 0."""
UNIT_SEQ: Final = 3
"""A folded sequence of ops: the payload is its number in the histogram's sequence table.

A lazy MMU section, an op-level window, or anything else that is stepped op by op.  A sequence is a
tuple of 64-bit items ``Kind << 56 | payload``: equal neighbours of SET_PTE are summed (payload = how
many), a SWITCH inside the section (a kernel that does not park) has its shape as payload, an OP its
argument (op index, operand << 16), everything else 0.  PARK and RESUME are what
arch_start/end_context_switch do to a lazy MMU section from 2.6.31.
"""
ITEM_SHIFT: Final = 56
ITEM_PARK: Final = 0x80
ITEM_RESUME: Final = 0x81

# --- the guards, bit numbers of a UNIT_SWITCH payload ------------------------
GUARDS: Final[dict[str, int]] = {
    "mm_differs": 0,  # prev->active_mm != next->mm, next->mm not NULL
    "ldt_differs": 1,  # prev->active_mm->context.ldt != next->mm->context.ldt; only with mm_differs
    "lazy_tlb_reload": 2,  # same mm, but leave_mm() had removed this CPU from its mask
    "prev_kernel": 3,  # prev->mm is NULL
    "next_kernel": 4,  # next->mm is NULL: enter_lazy_tlb
    "prev_fpu": 5,  # TS_USEDFPU of prev
    "next_eager": 6,  # next is restored eagerly (fpu_counter > 5, and used_math from 2.6.26)
    "iopl_differs": 7,
    "next_iopl": 8,  # next->iopl != 0
    "prev_gs": 9,  # the user segment register of prev holds a selector
    "next_gs": 10,
    "prev_dr": 11,
    "next_dr": 12,
    "prev_io_bitmap": 13,
    "next_io_bitmap": 14,
    "prev_notsc": 15,
    "next_notsc": 16,
    "prev_blockstep": 17,
    "next_blockstep": 18,
    "prev_ldt": 19,  # the LDT of prev->active_mm is not NULL
    "next_ldt": 20,  # the LDT of next->mm is not NULL
    "prev_parked": 21,  # prev was in lazy MMU mode when it was switched out
    "next_parked": 22,  # next has TIF_LAZY_MMU_UPDATES set: resume
    "in_irq": 23,  # a switch event arrived inside an interrupt (never legal)
}
TLS_SHIFT: Final = 24
"""Bits 24-25: how many of the three TLS slots differ between prev and next (0..3)."""
MASKS: Final[dict[str, int]] = {name: 1 << bit for name, bit in GUARDS.items()}


def tls_changed(shape: int) -> int:
    """How many TLS slots differ in this shape, 0..3."""
    return shape >> TLS_SHIFT & 3


def names(shape: int) -> list[str]:
    """The guards that were true in *shape*, in bit order, then ``tls=N``."""
    found = [name for name, bit in GUARDS.items() if shape >> bit & 1]
    if tls_changed(shape):
        found.append(f"tls={tls_changed(shape)}")
    return found
