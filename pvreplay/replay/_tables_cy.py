"""The tables of the replay loop between its runs: made larger, added up, read out (``replay/state.py``).

Compiled by Cython when the package is built, and the same file interpreted.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython


def counts(
    table: cython.ulonglong[::1],
    bits: cython.ulonglong,
    rows: cython.ulonglong,
    found: cython.ulonglong[::1],
) -> None:
    """The count of each of the *rows* rows behind the 2***bits* slots of *table*, into *found*."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    size: cython.ulonglong = cython.cast(cython.ulonglong, 2) << bits
    i: cython.ulonglong
    key: cython.ulonglong
    slot: cython.ulonglong
    for i in range(rows):
        key = table[size + 3 * i]
        slot = ((key * HASH & MASK64) >> (64 - bits)) * 2
        while table[slot] ^ MASK64 != key:
            slot = (slot + 2) & (size - 1)
        found[i] = table[slot + 1]


def absorb(
    table: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    other: cython.ulonglong[::1],
    bits: cython.ulonglong,
    rows: cython.ulonglong,
    renumbered: cython.ulonglong[::1],
) -> None:
    """Add the *rows* rows of *other*, a table of 2***bits* slots, to *table*, which has room for them.

    ``renumbered[n]`` is what sequence *n* of *other* is called in *table*.  A row that both have was
    first met where *table* says.
    """
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    PAYLOAD: cython.ulonglong = 0x3FFFFFF
    theirs: cython.ulonglong = cython.cast(cython.ulonglong, 2) << bits
    size: cython.ulonglong = cython.cast(cython.ulonglong, 2) << st[35]
    i: cython.ulonglong
    key: cython.ulonglong
    slot: cython.ulonglong
    count: cython.ulonglong
    at: cython.ulonglong
    for i in range(rows):
        key = other[theirs + 3 * i]
        slot = ((key * HASH & MASK64) >> (64 - bits)) * 2
        while other[slot] ^ MASK64 != key:
            slot = (slot + 2) & (theirs - 1)
        count = other[slot + 1]
        if key >> 26 & 1 and key & PAYLOAD > 1:
            key += renumbered[(key & PAYLOAD) - 2] + 2 - (key & PAYLOAD)
        slot = ((key * HASH & MASK64) >> (64 - st[35])) * 2
        while table[slot] and table[slot] ^ MASK64 != key:
            slot = (slot + 2) & (size - 1)
        if table[slot] == 0:
            table[slot] = key ^ MASK64
            at = size + st[0] * 3
            table[at] = key
            table[at + 1] = other[theirs + 3 * i + 1]
            table[at + 2] = other[theirs + 3 * i + 2]
            st[0] += 1
        table[slot + 1] += count


def move(
    old: cython.ulonglong[::1],
    old_bits: cython.ulonglong,
    table: cython.ulonglong[::1],
    bits: cython.ulonglong,
    rows: cython.ulonglong,
) -> None:
    """Put the *rows* rows of the table *old* into the larger *table* of 2***bits* slots."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    old_size: cython.ulonglong = cython.cast(cython.ulonglong, 2) << old_bits
    size: cython.ulonglong = cython.cast(cython.ulonglong, 2) << bits
    i: cython.ulonglong
    slot: cython.ulonglong
    i = 0
    while i < old_size:
        if old[i]:
            slot = (((old[i] ^ MASK64) * HASH & MASK64) >> (64 - bits)) * 2
            while table[slot]:
                slot = (slot + 2) & (size - 1)
            table[slot] = old[i]
            table[slot + 1] = old[i + 1]
        i += 2
    for i in range(rows * 3):
        table[size + i] = old[old_size + i]


def rehash(
    seqtab: cython.ulonglong[::1], arena: cython.ulonglong[::1], bits: cython.ulonglong, end: cython.ulonglong
) -> None:
    """Fill an empty ``seqtab`` of 2***bits* slots with the sequences of ``arena`` up to word *end*."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    MASK32: cython.ulonglong = 0xFFFFFFFF
    MASK40: cython.ulonglong = 0xFFFFFFFFFF
    last: cython.ulonglong = (cython.cast(cython.ulonglong, 1) << bits) - 1
    at: cython.ulonglong = 0
    start: cython.ulonglong
    h: cython.ulonglong
    slot: cython.ulonglong
    while at < end:
        h = arena[at] & MASK32
        start = at + 1
        at = start + h
        slot = start
        while slot < at:
            h = (h ^ (arena[slot] << 8 & MASK64 | arena[slot] >> 56)) * HASH & MASK64
            slot += 1
        slot = h >> (64 - bits)
        h = h & MASK40 ^ h >> 40
        while seqtab[slot]:
            slot = (slot + 1) & last
        seqtab[slot] = h << 40 & MASK64 | start
