"""One unit on one or two backends as data: what ``show`` renders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pvreplay.machine.shape import UNIT_LEAVE_MM, UNIT_NM, UNIT_SEQ, UNIT_SWITCH, names
from pvreplay.replay.locate import Located
from pvreplay.replay.result import Totals, Violation
from pvreplay.replay.walk import Walk, WalkStep

UNITS = {UNIT_SWITCH: "switch", UNIT_NM: "nm", UNIT_LEAVE_MM: "leave_mm", UNIT_SEQ: "sequence"}
COUNTS = {"hypercalls": "hypercalls", "entries": "entries", "traps": "traps", "ROM calls": "rom_calls"}
"""Words of the text -> field of Totals."""


class Shown(msgspec.Struct, kw_only=True):
    """Everything ``show`` tells.

    *violation* is the one asked for, number *violation_number* (from 1) of
    *violations* in the run; None when something else was asked for.
    """

    path: str
    format: str
    kernel: str
    kernel_source: str
    located: Located
    walks: list[Walk]
    version: str
    violation: Violation | None = None
    violation_number: int = 0
    violations: int = 0
    notes: list[str] = []

    @property
    def unit(self) -> str:
        """switch, nm, leave_mm or sequence."""
        return UNITS[self.located.unit_type]

    @property
    def shape(self) -> list[str]:
        """The guards that were true; empty unless the unit is a switch."""
        return names(self.located.shape) if self.located.unit_type == UNIT_SWITCH else []


class Row(NamedTuple):
    """A place of the path on each of the backends; None where it has nothing there."""

    steps: tuple[WalkStep | None, ...]

    @property
    def any(self) -> WalkStep:
        """The step on the first backend that has it."""
        return next(step for step in self.steps if step is not None)


def aligned(walks: Sequence[Walk]) -> list[Row]:
    """The steps of *walks* side by side, in the order of the path."""
    tables = [{step.place: step for step in walk.steps} for walk in walks]
    places = sorted({place for table in tables for place in table})
    return [Row(tuple(table.get(place) for table in tables)) for place in places]


def paid(walks: Sequence[Walk]) -> dict[str, str]:
    """The :data:`COUNTS` of which any of *walks* pays something."""
    return {
        word: field for word, field in COUNTS.items() if any(getattr(walk.totals, field) for walk in walks)
    }


def price(totals: Totals, fields: Sequence[str]) -> list[int]:
    """The values of *fields*."""
    return [getattr(totals, field) for field in fields]


def reason(step: WalkStep) -> str:
    """The names that decided a guard, as they were: ``mm_differs``, ``not iopl_differs``, ``tls = 2``."""
    parts = []
    for name, value in step.because.items():
        if value > 1:
            parts.append(f"{name} = {value}")
        else:
            parts.append(name if value else f"not {name}")
    return ", ".join(parts)
