"""Pricing: sums, distributions, sequences, violations merged over backends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.backends.reader import builtin_backends, load_backend
from pvreplay.errors import TraceError, UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.shape import (
    GUARDS,
    ITEM_PARK,
    ITEM_RESUME,
    ITEM_SHIFT,
    UNIT_LEAVE_MM,
    UNIT_NM,
    UNIT_SEQ,
    UNIT_SWITCH,
)
from pvreplay.replay.histogram import Histogram, Row
from pvreplay.replay.price import facts_of, price, run_window, shape_key
from pvreplay.replay.result import BackendResult, Report, Totals
from pvreplay.trace.events import Kind
from pvreplay.trace.model import Meta, Task
from tests.machine_helpers import shape


def item(kind: int, payload: int = 0) -> int:
    return kind << ITEM_SHIFT | payload


def histogram(
    *rows: tuple[int, int, int, int, int],
    sequences: list[tuple[int, ...]] | None = None,
    ops: tuple[str, ...] = (),
) -> Histogram:
    """Rows of (unit type, payload, cpu, task, count); the number of a row is its first event."""
    hist = Histogram(kernel="2.6.21", meta=Meta(path="t.bin", format="trace.bin", ops=ops))
    hist.sequences = sequences or []
    for number, (unit, payload, cpu, task, count) in enumerate(rows):
        hist.rows.append(Row(unit, payload, cpu, task, count, number, number * 1000, 0))
        if unit == UNIT_SWITCH:
            hist.switches += count
        elif unit == UNIT_SEQ:
            kinds = [one >> ITEM_SHIFT for one in hist.sequences[payload]]
            hist.switches += count * (kinds.count(Kind.SWITCH) + kinds.count(Kind.BEGIN))
        hist.tasks[task] = Task(id=task, comm=f"task{task}", pid=100 + task)
    return hist


def priced(hist: Histogram, *names: str, kernel: str = "2.6.21", policy: str = "seed2006") -> Report:
    loaded = load_kernel(kernel)
    return price(hist, loaded, [load_backend(name, loaded) for name in names or ("xen",)], policy=policy)


def errors(report: Report) -> list[str]:
    """The rules broken, performance findings aside."""
    return [violation.rule for violation in report.violations if violation.severity != "perf"]


def check_sums(result: BackendResult, switches: int) -> None:
    """Everything that must add up to the totals does."""
    for name in ("hypercalls", "entries", "traps", "rom_calls"):
        total = getattr(result, name)
        assert total == sum(getattr(one, name) for one in result.by_op.values()), name
        assert total == sum(getattr(one, name) for one in result.by_task.values()), name
        assert total == sum(getattr(one, name) for one in result.by_cpu.values()), name
        inside = getattr(result.in_switch, name)
        assert total == inside + sum(getattr(one, name) for one in result.outside.values()), name
    assert result.in_switch.count == switches == sum(result.histogram.values())
    assert result.in_switch.hypercalls == sum(n * times for n, times in result.histogram.items())
    for table in (result.by_task, result.by_cpu):
        assert sum(one.count for one in table.values()) == switches


def test_counts_are_the_unit_times_its_rows() -> None:
    mm, eager = shape("mm_differs"), shape("mm_differs", "prev_fpu", "next_eager")
    report = priced(
        histogram(
            (UNIT_SWITCH, mm, 0, 1, 10),
            (UNIT_SWITCH, mm, 1, 2, 5),
            (UNIT_SWITCH, eager, 0, 1, 3),
            (UNIT_NM, 0, 0, 1, 2),
            (UNIT_LEAVE_MM, 0, 1, 2, 4),
        ),
        "vmi",
        "xen",
        "xen-unbatched",
    )
    vmi, xen, unbatched = report.backends
    assert vmi.hypercalls == 15 * 1 + 3 * 2 + 2 * 1 + 4 * 1
    assert vmi.rom_calls == 15 * 4 + 3 * 7 + 2 * 2 + 4 * 1
    assert vmi.histogram == {1: 15, 2: 3}
    assert vmi.hypercalls_per_switch == vmi.hypercalls / 18
    assert xen.traps == 3 * 3 + 2 * 2 and xen.entries == 18 * 5 + 4
    assert xen.outside == {
        "leave_mm": Totals(hypercalls=4, entries=4, count=4),
        "nm": Totals(traps=4, count=2),
    }
    assert xen.by_shape[shape_key(mm)] == Totals(hypercalls=15, entries=75, count=15)
    assert xen.unbatched_hypercalls == unbatched.hypercalls == 18 * 5 + 4
    assert vmi.unbatched_hypercalls is None
    for result in report.backends:
        check_sums(result, 18)


def test_a_lazy_mmu_section_is_paid_outside_the_switch() -> None:
    section = (item(Kind.ENTER_MMU), item(Kind.SET_PTE, 100), item(Kind.LEAVE_MMU))
    report = priced(
        histogram((UNIT_SWITCH, 0, 0, 1, 1), (UNIT_SEQ, 0, 0, 1, 7), sequences=[section]),
        "xen",
        "kvm",
        "lguest",
    )
    xen, kvm, lguest = report.backends
    assert xen.outside["lazy_mmu"] == Totals(hypercalls=7 * 4, entries=7 * 100, count=7)
    assert kvm.outside["lazy_mmu"].hypercalls == 7 * (2 + 2 + 1)  # 42, 42 and 16 writes
    assert lguest.outside["lazy_mmu"].hypercalls == 7 * 2  # the 65th write itself, then the flush of 35
    for result in report.backends:
        check_sums(result, 1)


def test_a_kernel_without_lazy_mmu_mode_batches_nothing_in_a_section() -> None:
    section = (item(Kind.ENTER_MMU), item(Kind.SET_PTE, 100), item(Kind.FLUSH), item(Kind.LEAVE_MMU))
    hist = histogram((UNIT_SEQ, 0, 0, 1, 1), sequences=[section])
    for result in priced(hist, "vmi", "xen", "lguest", "kvm", kernel="2.6.20").backends:
        assert (result.hypercalls, result.entries, result.flushes) == (100, 0, {}), result.name
        assert result.rom_calls == (100 if result.name == "vmi" else 0)


def test_a_parked_section_pays_its_flush_and_its_resume() -> None:
    parked = (item(Kind.ENTER_MMU), item(Kind.SET_PTE, 5), item(ITEM_PARK))
    resumed = (item(ITEM_RESUME), item(Kind.SET_PTE, 5), item(Kind.LEAVE_MMU))
    hist = histogram(
        (UNIT_SEQ, 0, 0, 1, 1),
        (UNIT_SWITCH, shape("prev_parked"), 0, 2, 1),
        (UNIT_SWITCH, shape("next_parked"), 0, 1, 1),
        (UNIT_SEQ, 1, 0, 1, 1),
        sequences=[parked, resumed],
    )
    report = priced(hist, "vmi", "xen", kernel="2.6.31", policy="x86-2009")
    vmi, xen = report.backends
    assert xen.flushes == {"leave_cpu": 2, "leave_mmu": 1, "park": 1}
    assert vmi.outside["lazy_mmu"].rom_calls == 2 * 5 + 4
    assert errors(report) == []
    for result in report.backends:
        check_sums(result, 2)


def test_a_switch_inside_a_section_is_a_switch_and_an_overlap() -> None:
    broken = (
        item(Kind.ENTER_MMU),
        item(Kind.SET_PTE, 3),
        item(Kind.SWITCH, shape("mm_differs")),
        item(Kind.LEAVE_MMU),
    )
    report = priced(histogram((UNIT_SEQ, 0, 0, 1, 4), sequences=[broken]), "native", "xen", "kvm")
    for result in report.backends:
        check_sums(result, 4)
    overlap = [violation for violation in report.violations if violation.rule == "P3"]
    assert len(overlap) == 1 and overlap[0].count == 4
    assert overlap[0].backends == ["native", "xen", "kvm"] and "P2" in overlap[0].consequences


def test_an_op_level_window_is_priced_and_judged_as_it_stands() -> None:
    ops = ("enter_cpu", "load_tls", "loadsegment:gs", "leave_cpu", "set_debugreg")
    window = (
        item(Kind.BEGIN),
        item(Kind.OP, 0),
        item(Kind.OP, 1),
        item(Kind.OP, 2),
        item(Kind.OP, 4 | 7 << 16),
        item(Kind.OP, 3),
        item(Kind.END),
    )
    report = priced(histogram((UNIT_SEQ, 0, 2, 1, 9), sequences=[window], ops=ops), "native", "xen")
    native, xen = report.backends
    assert xen.hypercalls == 18 and xen.histogram == {2: 9} and xen.by_op["set_debugreg"].hypercalls == 9
    check_sums(xen, 9)
    check_sums(native, 9)
    (raw,) = [violation for violation in report.violations if violation.severity == "error"]
    assert (raw.rule, raw.step, raw.count, raw.backends) == ("H1", 3, 9, ["xen"])


@pytest.mark.parametrize("op", ["load_tlb", "begin", "set_debugreg:4"])
def test_an_op_that_is_none_is_an_error_of_the_trace(op: str) -> None:
    hist = histogram((UNIT_SEQ, 0, 0, 1, 1), sequences=[(item(Kind.OP, 0),)], ops=(op,))
    with pytest.raises(TraceError, match="op table of the trace"):
        priced(hist)


def test_a_violation_says_where_it_was_first_and_is_merged_over_backends() -> None:
    hist = histogram(
        (UNIT_SWITCH, shape("mm_differs", "next_eager"), 1, 2, 10),
        (UNIT_SWITCH, shape("next_eager"), 0, 1, 3),
    )
    hist.rows[0].first_event = 50
    report = priced(hist, "native", "vmi", "xen", "lguest", kernel="2.6.27")
    (lost,) = [violation for violation in report.violations if violation.rule == "W1"]
    assert lost.count == 13 and lost.op == "clts" and lost.backends == ["vmi", "xen", "lguest"]
    assert lost.first is not None
    assert (lost.first.event, lost.first.cpu, lost.first.prev, lost.first.next) == (1, 0, "idle", "task1-101")
    assert lost.shape == "next_eager"
    assert [step.op for step in lost.drawn if step.mark] == ["clts"]


def test_iopl_leaks_where_the_path_does_not_write_it_and_the_kernel_is_not_in_ring_0() -> None:
    hist = histogram((UNIT_SWITCH, shape("iopl_differs"), 0, 1, 6))
    report = priced(hist, "native", "vmi", "xen", "lguest", "kvm", kernel="2.6.20")
    leaks = [violation for violation in report.violations if violation.severity == "security"]
    assert [(leak.rule, leak.backends, leak.count) for leak in leaks] == [("S1", ["vmi", "xen"], 6)]
    assert errors(priced(hist, "native", "vmi", "xen", kernel="2.6.21")) == []


def test_what_a_backend_cannot_defer_is_a_note_and_no_violation() -> None:
    hist = histogram((UNIT_SWITCH, shape("next_dr", "iopl_differs", tls=1), 0, 1, 5))
    report = priced(hist, "xen")
    assert [violation.rule for violation in report.violations] == []
    assert any(
        "inside lazy CPU mode: set_debugreg (30), set_iopl_mask (5)" in note
        for note in report.backends[0].notes
    )


def test_rules_that_lack_their_events_are_not_checked_and_never_clean() -> None:
    report = priced(histogram((UNIT_SWITCH, 0, 0, 1, 1)))
    assert {"P4", "P5", "P6", "P7", "P8", "H3b", "H5", "X1", "X2"} <= set(report.not_checked)
    assert not {"H1", "P1", "S1", "W1"} & set(report.not_checked)
    slept = (
        item(Kind.ENTER_MMU),
        item(Kind.SLEEP),
        item(Kind.IRQ_ENTER),
        item(Kind.IRQ_EXIT),
        item(Kind.LEAVE_MMU),
    )
    report = priced(histogram((UNIT_SWITCH, 0, 0, 1, 1), (UNIT_SEQ, 0, 0, 1, 1), sequences=[slept]))
    assert not {"P4", "P5", "P6"} & set(report.not_checked)
    assert [violation.rule for violation in report.violations if violation.severity == "error"] == ["P4"]


def test_a_switch_in_an_interrupt_is_told_and_judged() -> None:
    report = priced(histogram((UNIT_SWITCH, shape("in_irq", "mm_differs"), 0, 1, 2)), "native", "xen")
    (sched,) = [violation for violation in report.violations if violation.severity == "error"]
    assert (sched.rule, sched.step, sched.count, sched.backends) == ("P5", 0, 2, ["native", "xen"])
    assert "P5" not in report.not_checked


def test_an_unknown_policy_is_refused_with_the_names() -> None:
    with pytest.raises(UsageError, match="policy 'posix' is not known") as caught:
        priced(histogram((UNIT_SWITCH, 0, 0, 1, 1)), policy="posix")
    assert "x86-2009" in caught.value.hint


def test_an_empty_histogram_is_priced_at_nothing() -> None:
    report = priced(histogram(), "xen")
    assert report.backends[0].hypercalls == 0 and report.backends[0].hypercalls_per_switch == 0.0


def possible(names: set[str], tls: int) -> int:
    """A shape the replay could make of *names*: what excludes or implies what."""
    mm = {"mm_differs", "ldt_differs", "lazy_tlb_reload"}
    if "next_kernel" in names:
        names = names - mm
    elif "mm_differs" in names:
        names = names - {"lazy_tlb_reload"}
    if "mm_differs" not in names:
        names = names - {"ldt_differs"}
    if "ldt_differs" in names:
        names = names | {"next_ldt"}
    return shape(*names, tls=tls)


SHAPES = st.builds(
    possible,
    st.sets(
        st.sampled_from([name for name in GUARDS if name not in ("in_irq", "prev_parked", "next_parked")])
    ),
    st.integers(0, 3),
)
ITEMS = st.one_of(
    st.sampled_from(
        [
            item(kind)
            for kind in (
                Kind.ENTER_MMU,
                Kind.LEAVE_MMU,
                Kind.READ_PTE,
                Kind.IRQ_ENTER,
                Kind.IRQ_EXIT,
                Kind.SLEEP,
                Kind.FLUSH,
                Kind.USER,
                Kind.BEGIN,
                Kind.END,
                ITEM_PARK,
                ITEM_RESUME,
            )
        ]
    ),
    st.integers(1, 200).map(lambda number: item(Kind.SET_PTE, number)),
    st.integers(0, 5).map(lambda number: item(Kind.OP, number)),
    SHAPES.map(lambda value: item(Kind.SWITCH, value)),
)
OPS = ("enter_cpu", "leave_cpu", "write_cr3", "flush_tlb_user", "set_debugreg:7", "load_tls")


@given(
    shapes=st.lists(st.tuples(SHAPES, st.integers(1, 1000)), max_size=4),
    sequences=st.lists(st.lists(ITEMS, min_size=1, max_size=12), max_size=3),
    kernel=st.sampled_from(["2.6.20", "seed", "2.6.21", "2.6.27", "2.6.32", "3.1", "6.1"]),
)
@settings(max_examples=60, deadline=None)
def test_everything_adds_up_on_every_backend_whatever_happens(
    shapes: list[tuple[int, int]], sequences: list[list[int]], kernel: str
) -> None:
    rows = [(UNIT_SWITCH, value, place % 2, place, count) for place, (value, count) in enumerate(shapes)]
    rows += [(UNIT_SEQ, place, place % 2, place, place + 1) for place in range(len(sequences))]
    hist = histogram(*rows, sequences=[tuple(one) for one in sequences], ops=OPS)
    report = priced(hist, *builtin_backends(), kernel=kernel)
    for result in report.backends:
        check_sums(result, hist.switches)
        crossings = [result.hypercalls, result.entries, result.traps, result.rom_calls]
        assert min(crossings) >= 0
        if result.name == "native":
            assert crossings == [0, 0, 0, 0]
        if not result.name.startswith("vmi"):
            assert result.rom_calls == 0


@given(value=SHAPES, name=st.sampled_from(builtin_backends()))
@settings(max_examples=60, deadline=None)
def test_a_clean_kernel_never_breaks_an_error_rule(value: int, name: str) -> None:
    for kernel in ("seed", "2.6.21", "2.6.24", "2.6.31", "2.6.32", "3.1", "4.13", "6.1"):
        loaded = load_kernel(kernel)
        outcome = run_window(loaded, load_backend(name, loaded), facts_of(value))
        errors = [verdict.finding for verdict in outcome.verdicts if verdict.finding.rule.severity != "perf"]
        assert errors == [], (kernel, errors)
