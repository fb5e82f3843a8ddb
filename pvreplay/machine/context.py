"""What an order of ops needs to know beyond the ops."""

from __future__ import annotations

from collections.abc import Mapping

from pvreplay.machine import resources as res


class Context:
    """What an order of ops needs to know beyond the ops.

    *want* and *hw* give the value a resource must have for the next task and
    the one it has.  *differs* is the mask of resources whose value for next is
    known to differ from what the hardware holds, *same* of those known to be
    equal.  *live*: selectors that name a TLS entry and are not cleared by the
    backend.  *volatile*: resources others can change behind a shadow.
    *scrub*: residue without an owner that must not outlive the switch.
    *tls_slots*: how many TLS slots change.  *to_user*: the order is a whole
    switch to a task that goes on to user mode.  *no_resident*: no other task's
    registers may be left behind a trap bit.  *in_irq*: an interrupt was being
    handled when the switch began.
    """

    __slots__ = (
        "differs",
        "hw",
        "in_irq",
        "live",
        "no_resident",
        "same",
        "scrub",
        "tls_slots",
        "to_user",
        "volatile",
        "want",
    )

    def __init__(
        self,
        *,
        want: Mapping[int, str] | None = None,
        hw: Mapping[int, str] | None = None,
        differs: int = 0,
        same: int = 0,
        live: int = 0,
        volatile: int = 0,
        scrub: int = 0,
        tls_slots: int | None = None,
        to_user: bool = False,
        no_resident: bool = False,
        in_irq: bool = False,
    ) -> None:
        self.want = dict(want or {})
        self.hw = dict(hw or {})
        self.differs = differs
        self.same = same
        for bit, value in self.want.items():
            if bit in self.hw:
                if self.hw[bit] == value:
                    self.same |= bit
                else:
                    self.differs |= bit
        self.live = live
        self.volatile = volatile
        self.scrub = scrub
        self.tls_slots = tls_slots if tls_slots is not None else 0 if self.same & res.GDT_TLS else 3
        self.to_user = to_user
        self.no_resident = no_resident
        self.in_irq = in_irq
