"""Numbers as words: the same spelling in every text the tool writes."""

from __future__ import annotations


def number(value: int) -> str:
    """An exact number: 1,234,567."""
    return f"{value:,}"


def short(value: int) -> str:
    """A number in at most six characters: 123.4M."""
    scaled: float = abs(value)
    scale = 0
    while scaled >= 999.95 and scale < 5:
        scaled /= 1000
        scale += 1
    digits = f"{scaled:.1f}" if scale else f"{int(scaled)}"
    return f"{'-' if value < 0 else ''}{digits}{' kMGTP'[scale].strip()}"


def percent(part: int, whole: int) -> str:
    """A share with one decimal that says 0.0 % and 100.0 % only when it is exactly that."""
    if whole == 0:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "<0.1 %"
    if 99.95 <= share < 100:
        return ">99.9 %"
    return f"{share:.1f} %"


def duration(time_ns: int) -> str:
    """A time in the unit that keeps it readable."""
    for unit, scale in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if time_ns >= scale:
            return f"{time_ns / scale:,.3f} {unit}"
    return f"{time_ns} ns"


def count(n: int, singular: str, plural: str = "") -> str:
    """``1 switch``, ``4,321 switches``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"
