"""Rows come in the order of first occurrence; what they are looked up with runs interpreted too."""

from __future__ import annotations

import importlib.util
from array import array
from importlib.machinery import SourceFileLoader
from pathlib import Path
from random import Random
from types import ModuleType

from pvreplay.replay import _rows_cy as compiled
from pvreplay.replay import state
from pvreplay.replay.run import replay
from pvreplay.replay.state import HASH, row_order
from tests.replay_traces import kernels, random_trace

MASK = (1 << 64) - 1


def interpreted() -> ModuleType:
    path = Path(state.__file__).parent / "_rows_cy.py"
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
