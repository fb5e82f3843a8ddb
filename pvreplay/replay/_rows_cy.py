"""Look up what the replay loop counted, in the order in which it met it first: for ``State.rows``.

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
