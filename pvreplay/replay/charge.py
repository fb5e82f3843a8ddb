"""What every task and every CPU pays, on all backends at once.

A fork storm has a hundred thousand tasks.  The prices of a unit, five on each backend, are therefore put
side by side into one long number, a field a price; a row then costs one multiplication and two additions
whatever the number of backends, and the fields of the sums are read out once a task.  Fields are
as wide as the largest sum needs, so none runs over into the next: the sums are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pvreplay.replay.histogram import Row

Sums = dict[int, tuple[int, ...]]
"""Task or CPU -> the sums of all prices, in the order of the prices."""

WORD: Final = 8
"""Bytes of a field, or a multiple of them."""


def charge(rows: Sequence[Row], units: Sequence[int], prices: Sequence[Sequence[int]]) -> tuple[Sums, Sums]:
    """The sums of each task and of each CPU, by number.

    *units* are the numbers of the units of *rows*; *prices* has a list for each unit, all of one length (two
    or more), of numbers from 0 up.
    """
    if not rows:
        return {}, {}
    columns = [tuple(column) for column in zip(*prices, strict=True)]
    distinct = list(dict.fromkeys(column for column in columns if any(column)))
    most = max(map(max, distinct), default=0) * sum(row.count for row in rows)
    width = WORD * (1 + most.bit_length() // (8 * WORD))
    packed = [
        int.from_bytes(b"".join(price.to_bytes(width, "little") for price in unit), "little")
        for unit in zip(*distinct, strict=True)
    ] or [0] * len(prices)
    tasks: dict[int, int] = {}
    cpus: dict[int, int] = {}
    for row, unit in zip(rows, units, strict=True):
        paid = packed[unit] * row.count
        task, cpu = row.task, row.cpu
        tasks[task] = tasks.get(task, 0) + paid
        cpus[cpu] = cpus.get(cpu, 0) + paid
    none = len(distinct)
    read = _reader(none, width)
    pick = itemgetter(*(distinct.index(column) if any(column) else none for column in columns))
    return (
        {task: pick(read(paid)) for task, paid in sorted(tasks.items())},
        {cpu: pick(read(paid)) for cpu, paid in sorted(cpus.items())},
    )


def _reader(count: int, width: int) -> Callable[[int], tuple[int, ...]]:
    """What reads *count* fields of *width* bytes out of a number, and adds a 0 behind them."""
    size = count * width
    if width == WORD:
        unpack = Struct(f"<{count}Q").unpack
        return lambda paid: (*unpack(paid.to_bytes(size, "little")), 0)

    def wide(paid: int) -> tuple[int, ...]:
        raw = paid.to_bytes(size, "little")
        return (*(int.from_bytes(raw[at : at + width], "little") for at in range(0, size, width)), 0)

    return wide
