"""How much is allowed: a budget is a highest value, or an increase over the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple

from pvreplay.gate.verdict import METRICS, SEVERITIES, VIOLATION_METRICS

EVERY = "*"
"""The backend of a budget that holds for all of them."""
ALL_METRICS = (*METRICS, *VIOLATION_METRICS)
STRICT_METRICS = tuple(f"violations.{severity}" for severity in SEVERITIES if severity != "perf")
"""No general tolerance covers these, only a budget of their own."""


class Budget(NamedTuple):
    """*value* is the highest value that passes; with *relative*, the allowed increase over the
    baseline: a number, or with *percent* a part of it (2 % is 1/50).  *where* is what says so.
    """

    value: Fraction
    relative: bool
    percent: bool
    where: str

    def limit(self, baseline: Fraction | None) -> Fraction | None:
        """The highest value that passes; None when it takes a baseline and there is none."""
        if not self.relative:
            return self.value
        if baseline is None:
            return None
        return baseline * (1 + self.value) if self.percent else baseline + self.value


_DIGITS_MAX = 18
"""Of a budget, before and after the point: 64 bits."""
NO_INCREASE = Budget(Fraction(0), True, False, "")


class Budgets(NamedTuple):
    """*table* is (backend or ``*``, metric) -> budget; *general* holds where none is given."""

    table: Mapping[tuple[str, str], Budget] = {}
    general: Budget = NO_INCREASE

    def of(self, backend: str, metric: str) -> Budget:
        """The budget of *metric* on *backend*: its own, that of every backend, the general one."""
        own = self.table.get((backend, metric)) or self.table.get((EVERY, metric))
        if own is not None:
            return own
        return NO_INCREASE if metric in STRICT_METRICS else self.general

    def has(self, backend: str, metric: str) -> bool:
        """Whether *metric* has a budget of its own."""
        return (backend, metric) in self.table or (EVERY, metric) in self.table

    def absolute(self) -> bool:
        """Whether any budget can be judged without a baseline."""
        return any(not budget.relative for budget in self.table.values())


def parse_increase(text: str, where: str) -> Budget:
    """``2%``, ``+2%``, ``100`` or ``+100``; ValueError for anything else."""
    number = text.strip().removeprefix("+")
    percent = number.endswith("%")
    value = _positive(number.removesuffix("%").strip())
    return Budget(value / 100 if percent else value, True, percent, where)


def parse_budget(value: object, where: str) -> Budget:
    """A number is a highest value, a string an increase; ValueError for anything else."""
    if isinstance(value, str):
        return parse_increase(value, where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    return Budget(_positive(str(value)), False, False, where)


def _positive(text: str) -> Fraction:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not number.is_finite() or number < 0:
        raise ValueError(text)
    exponent = number.as_tuple().exponent
    if number.adjusted() > _DIGITS_MAX or not isinstance(exponent, int) or exponent < -_DIGITS_MAX:
        raise ValueError(text)  # 1e999999999 is a number of a billion digits
    return Fraction(number)
