"""Planted violations: which rules can be broken by events, and how.

Rules that need a wrong switch path (H4, S1, W1 ...) cannot be planted in a trace: the path is the
kernel's, not the trace's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pvreplay.errors import UsageError
from pvreplay.synth.profile import Planting
from pvreplay.trace.events import Kind

Order = tuple[tuple[Kind, int], ...]

_ENTER: Final = ((Kind.ENTER_MMU, 0), (Kind.SET_PTE, 2))
_LEAVE: Final = ((Kind.LEAVE_MMU, 0),)
_SWITCHED: Final[Order] = (*_ENTER, (Kind.SWITCH, 0), (Kind.SWITCH, 1), *_LEAVE)

PLANTABLE: Final[dict[str, Order]] = {
    "H1": (*_ENTER, (Kind.READ_PTE, 0), *_LEAVE),  # the queued PTE is read before the flush
    "P1": (*_ENTER, *_ENTER, *_LEAVE),  # nested, and the inner leave is lost
    "P2": _LEAVE,  # left without being entered
    "P3": _SWITCHED,  # lazy CPU mode entered while lazy MMU mode is on; legal on kernels that park
    "P4": (*_ENTER, (Kind.SLEEP, 0), *_LEAVE),
    "P5": _SWITCHED,  # a switch, to idle and back, with PTE writes pending
    "P6": ((Kind.IRQ_ENTER, 0), *_ENTER, *_LEAVE, (Kind.IRQ_EXIT, 0)),
    "P9": (*_ENTER, (Kind.USER, 0), *_LEAVE),  # back to user mode with the mode on
}
"""Rule -> the order of (kind, argument) that breaks it; SWITCH 0 goes to idle, SWITCH 1 back."""

MILLION: Final = 1_000_000


@dataclass(slots=True, frozen=True)
class Injection:
    """Plant *rule* at *ppm* of a million switches."""

    rule: str
    ppm: int

    def planting(self, switches: int) -> Planting:
        """What the generator is asked to plant in *switches* switches: at least one."""
        return Planting(PLANTABLE[self.rule], max(1, switches * self.ppm // MILLION))


def parse_injection(text: str) -> Injection:
    """``RULE@RATE``, RATE as 1/1000, 0.001 or 0.1%; at most one planting in four switches."""
    rule, at, rate = text.partition("@")
    rule = rule.upper()
    if rule not in PLANTABLE:
        raise UsageError(
            f"--inject {text}: {rule or 'no rule'} cannot be planted",
            f"Expected one of {', '.join(PLANTABLE)}.",
        )
    ppm = _ppm(rate) if at else None
    if ppm is None or not 0 < ppm <= MILLION // 4:
        raise UsageError(
            f"--inject {text}: rate {rate or 'missing'}",
            "Expected RULE@RATE as in P1@1/1000, P1@0.001 or P1@0.1%; at most 1/4.",
        )
    return Injection(rule, ppm)


def _ppm(rate: str) -> int | None:
    from fractions import Fraction

    scale = MILLION
    if rate.endswith("%"):
        rate, scale = rate[:-1], MILLION // 100
    try:
        return int(Fraction(rate) * scale)
    except (ValueError, ZeroDivisionError):
        return None


def check_unique(injections: Sequence[Injection]) -> None:
    """Raise UsageError when a rule is named twice; P3 and P5 are one order."""
    if len({PLANTABLE[injection.rule] for injection in injections}) != len(injections):
        raise UsageError(
            "--inject: a rule is planted twice",
            "Name each rule once; P3 and P5 are the same order of events.",
        )
