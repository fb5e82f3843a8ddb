"""Rows come in the order of first occurrence; what they are looked up with runs interpreted too."""

from __future__ import annotations

import importlib.util
from array import array
from importlib.machinery import SourceFileLoader
from pathlib import Path
from random import Random
from types import ModuleType

from pvreplay.replay import _tables_cy as compiled
from pvreplay.replay import state
from pvreplay.replay.run import replay
from pvreplay.replay.state import HASH, row_order
from tests.replay_traces import kernels, random_trace

MASK = (1 << 64) - 1


def interpreted() -> ModuleType:
    path = Path(state.__file__).parent / "_tables_cy.py"
    loader = SourceFileLoader("rows_interpreted", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_row_is_found_by_both_forms() -> None:
    random = Random(5)
    bits, counts = 7, {random.getrandbits(63): random.getrandbits(40) + 1 for _ in range(60)}
    table = array("Q", bytes(8 * ((2 << bits) + 3 * len(counts))))
    for number, (key, count) in enumerate(counts.items()):
        slot = (key * HASH & MASK) >> (64 - bits) << 1
        while table[slot]:
            slot = (slot + 2) & ((2 << bits) - 1)
        table[slot], table[slot + 1] = key ^ MASK, count
        table[(2 << bits) + 3 * number] = key
    for lookup in (compiled, interpreted()):
        found = array("Q", bytes(8 * len(counts)))
        lookup.counts(table, bits, len(counts), found)
        assert list(found) == list(counts.values())


def test_rows_are_in_order_and_none_is_twice() -> None:
    for seed, kernel in enumerate(kernels()):
        rows = replay(random_trace(seed, 3000), kernel).rows
        assert rows == sorted(rows, key=row_order)
        assert len({(row.unit_type, row.payload, row.cpu, row.task) for row in rows}) == len(rows)


def test_tables_are_added_up_alike_by_both_forms() -> None:
    random = Random(6)
    bits, rows = 7, 64
    keys = [random.getrandbits(25) for _ in range(20)] + [1 << 26 | number for number in range(9)]
    keys = [key | cpu << 27 | random.getrandbits(20) << 40 for key in keys for cpu in (0, 3)]
    parts = []
    for _ in range(2):
        chosen = random.sample(keys, 30)
        table, st = array("Q", bytes(8 * ((2 << bits) + 3 * rows))), array("Q", bytes(8 * 64))
        st[state.P_BITS] = bits
        for number, key in enumerate(chosen):
            slot = (key * HASH & MASK) >> (64 - bits) << 1
            while table[slot]:
                slot = (slot + 2) & ((2 << bits) - 1)
            table[slot], table[slot + 1] = key ^ MASK, random.randrange(1, 99)
            at = (2 << bits) + 3 * number
            table[at], table[at + 1], table[at + 2] = key, random.getrandbits(60), random.getrandbits(40)
        st[state.S_ROWS] = len(chosen)
        parts.append((table, st))
    (mine, st), (other, other_st) = parts
    renumbered = array("Q", [random.randrange(7) for _ in range(7)])
    found = []
    for tables in (compiled, interpreted()):
        table, totals = mine[:], st[:]
        tables.absorb(table, totals, other, bits, other_st[state.S_ROWS], renumbered)
        found.append((table, totals))
    assert found[0] == found[1]
    expected = counted(mine, bits, 30)
    for key, count in counted(other, bits, 30).items():
        sequence = (key & 0x7FFFFFF) - (1 << 26) - 2
        key += renumbered[sequence] - sequence if 0 <= sequence < 7 else 0
        expected[key] = expected.get(key, 0) + count
    assert counted(found[0][0], bits, found[0][1][state.S_ROWS]) == expected
    assert list(expected) == [found[0][0][(2 << bits) + 3 * row] for row in range(len(expected))]


def counted(table: array[int], bits: int, rows: int) -> dict[int, int]:
    """Key -> count of a table, in the order of its rows."""
    counts = array("Q", bytes(8 * rows))
    compiled.counts(table, bits, rows, counts)
    start = 2 << bits
    return dict(zip((table[start + 3 * row] for row in range(rows)), counts, strict=True))
