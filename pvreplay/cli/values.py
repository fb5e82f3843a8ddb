"""Option values with a grammar of their own: CPU lists, sizes, seconds, spans of time."""

from __future__ import annotations

import click

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _number(text: str) -> int:
    """A number of ASCII digits, or -1."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1


def cpu_list(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[int] | None:
    """``0-3,5`` as a set of CPUs."""
    if value is None:
        return None
    from pvreplay.trace.events import CPU_MAX

    cpus: set[int] = set()
    for part in value.split(","):
        low, dash, high = part.strip().partition("-")
        first = _number(low)
        last = _number(high) if dash else first
        if not 0 <= first <= last < CPU_MAX:
            raise click.BadParameter(
                f"{value!r}: expected CPUs of 0 to {CPU_MAX - 1}, as in 0-3,5", ctx, param
            )
        cpus.update(range(first, last + 1))
    return frozenset(cpus)


def size_bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int:
    """``4M``, ``512K`` or bytes; 0 when not given."""
    if value is None:
        return 0
    text = value.upper().removesuffix("B").removesuffix("I")
    unit = text[-1:] if text[-1:] in ("K", "M", "G") else ""
    number = _number(text.removesuffix(unit))
    if not 0 < number * UNITS[unit] < 1 << 40:
        raise click.BadParameter(f"{value!r}: expected a size, as in 512K or 4M", ctx, param)
    return number * UNITS[unit]


def _nanoseconds(text: str) -> int:
    """Seconds with up to nine decimals as ns, without a float in between; -1 for anything else."""
    whole, _, decimals = text.strip().partition(".")
    number = _number((whole or "0") + decimals.ljust(9, "0"))
    return number if len(decimals) <= 9 and (whole or decimals) and number < 1 << 63 else -1


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A duration in seconds, more than 0."""
    if value is None:
        return None
    ns = _nanoseconds(value)
    if ns <= 0:
        raise click.BadParameter(f"{value!r}: expected seconds, as in 10 or 0.5", ctx, param)
    return ns / 1e9


def time_span(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``A,B`` in seconds as (from, until) in ns; either may be left out."""
    if value is None:
        return None
    low, comma, high = value.partition(",")
    start = _nanoseconds(low) if low.strip() else 0
    end = _nanoseconds(high) if high.strip() else 1 << 64
    if not comma or start < 0 or end < 0:
        raise click.BadParameter(
            f"{value!r}: expected two times in seconds, as in 49.33,49.5 (either may be left out)", ctx, param
        )
    if start >= end:
        raise click.BadParameter(f"{value!r}: the end is not after the start", ctx, param)
    return start, end
