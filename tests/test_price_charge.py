"""What tasks and CPUs pay is exact, whatever the number of backends and however large the sums."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.machine.shape import UNIT_SWITCH
from pvreplay.replay.charge import charge
from pvreplay.replay.histogram import Row

NUMBERS = st.one_of(st.integers(0, 9), st.integers(0, 1 << 48))


Case = tuple[list[Row], list[int], list[list[int]]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Rows of a few tasks and CPUs, which unit each is, and what the units cost."""
    width = draw(st.integers(2, 12))
    prices = draw(st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=6))
    rows, units = [], []
    for number in range(draw(st.integers(0, 12))):
        unit = draw(st.integers(0, len(prices) - 1))
        cpu, task, count = draw(st.integers(0, 3)), draw(st.integers(0, 5)), draw(NUMBERS)
        rows.append(Row(UNIT_SWITCH, unit, cpu, task, count, number, number, 0))
        units.append(unit)
    return rows, units, prices


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_sums_are_those_of_adding_up_one_by_one(
    case: tuple[list[Row], list[int], list[list[int]]],
) -> None:
    rows, units, prices = case
    by_task, by_cpu = charge(rows, units, prices)
    for table, place in ((by_task, "task"), (by_cpu, "cpu")):
        expected: dict[int, list[int]] = {}
        for row, unit in zip(rows, units, strict=True):
            mine = expected.setdefault(getattr(row, place), [0] * len(prices[0]))
            for at, price in enumerate(prices[unit]):
                mine[at] += price * row.count
        assert {key: list(sums) for key, sums in table.items()} == expected
        assert list(table) == sorted(table)


def test_a_sum_beyond_64_bits_is_exact() -> None:
    most, price = (1 << 40) - 1, (1 << 63) + 1
    rows = [Row(UNIT_SWITCH, 0, 0, task, most, task, 0, 0) for task in (1, 1, 2)]
    by_task, by_cpu = charge(rows, [0, 0, 0], [[1, price]])
    assert by_task == {1: (2 * most, 2 * most * price), 2: (most, most * price)}
    assert by_cpu == {0: (3 * most, 3 * most * price)}


def test_neighbours_do_not_run_into_each_other() -> None:
    largest = (1 << 64) - 1
    rows = [Row(UNIT_SWITCH, 0, 1, 1, 1, 0, 0, 0)]
    assert charge(rows, [0], [[largest, 0, largest, 1]]) == ({1: (largest, 0, largest, 1)},) * 2
