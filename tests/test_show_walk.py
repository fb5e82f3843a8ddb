"""One unit walked through: what it tells step by step adds up to what a run charges."""

from __future__ import annotations

import random
from itertools import product

import pytest

from pvreplay.backends.reader import builtin_backends, load_backend
from pvreplay.kernels.guard import compile_guard
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.machine import HISTORY_MAX
from pvreplay.machine.shape import ITEM_SHIFT, UNIT_LEAVE_MM, UNIT_NM, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.run import replay
from pvreplay.replay.walk import Walk, WalkStep, walk
from pvreplay.replay.window import facts_of, run_window
from pvreplay.report.show import aligned, reason
from pvreplay.trace.events import Kind
from tests.replay_traces import random_trace

K2621 = load_kernel("2.6.21")
XEN = load_backend("xen", K2621)
MM_DIFFERS = 1
"""The shape in which nothing but the mm differs."""


def sums(walked: Walk) -> tuple[int, int, int, int]:
    last = walked.steps[-1].sums
    return last.hypercalls, last.entries, last.traps, last.rom_calls


@pytest.mark.parametrize("name", builtin_kernels())
def test_a_walk_costs_and_breaks_what_the_run_says_on_every_kernel_and_backend(name: str) -> None:
    kernel = load_kernel(name)
    backends = [load_backend(backend, kernel) for backend in builtin_backends()]
    hist = replay(random_trace(seed=11, events=300), kernel)
    units = {(row.unit_type, row.payload) for row in hist.rows}
    chosen = random.Random(name).sample(sorted(units), 12)
    for (unit_type, payload), backend in product(chosen, backends):
        shape = payload if unit_type == UNIT_SWITCH else 0
        items = hist.sequences[payload] if unit_type == UNIT_SEQ else ()
        facts = facts_of(shape) if unit_type == UNIT_SWITCH else {}
        outcome = run_window(
            kernel, backend, facts, unit_type=unit_type, items=items, ops=hist.meta.ops, keep=True
        )
        walked = walk(kernel, backend, unit_type=unit_type, shape=shape, items=items, ops=hist.meta.ops)
        assert outcome.machine is not None
        assert [step.op for step in walked.steps if step.index is not None] == [
            view.op for view in outcome.machine.steps
        ]
        if walked.steps:
            assert sums(walked) == outcome.totals
        assert sorted((found.rule, step.index) for step in walked.steps for found in step.broken) == sorted(
            (verdict.finding.rule.code, verdict.finding.step) for verdict in outcome.verdicts
        )


def test_every_step_of_the_path_is_there_taken_or_not_with_the_guard_that_decided() -> None:
    shape = random.Random(1).getrandbits(24)
    facts = {**facts_of(shape), **XEN.traits}
    walked = walk(K2621, XEN, unit_type=UNIT_SWITCH, shape=shape)
    told = {step.step: step for step in walked.steps if step.step}
    assert list(told) == [step.name for step in K2621.steps]
    for step in told.values():
        assert compile_guard(step.guard)(facts) == step.taken
        assert all(facts[name] == value for name, value in step.because.items())
    assert not any(step.index is not None and not step.taken for step in walked.steps)


def by_op(walked: Walk, op: str) -> WalkStep:
    return next(step for step in walked.steps if step.op == op)


def test_queue_and_pending_writes_grow_until_the_mode_is_left() -> None:
    walked = walk(K2621, XEN, unit_type=UNIT_SWITCH, shape=MM_DIFFERS)
    cr3, leave = by_op(walked, "write_cr3"), by_op(walked, "leave_lazy_cpu")
    assert (cr3.became, cr3.queue, cr3.pending, cr3.mode) == ("queued", 1, ["CR3"], "lazy CPU")
    assert "CR3" in by_op(walked, "load_tls").pending
    assert (leave.became, leave.flush, leave.queue, leave.pending) == ("flush", "leave_cpu", 0, [])
    assert (leave.sums.hypercalls, leave.flushed) == (1, leave.sums.entries)


def test_faults_and_leave_mm_are_walked_op_by_op() -> None:
    for unit_type, ops in ((UNIT_NM, K2621.nm_ops), (UNIT_LEAVE_MM, K2621.leave_mm_ops)):
        walked = walk(K2621, XEN, unit_type=unit_type)
        assert tuple(step.op for step in walked.steps) == ops


def test_equal_writes_of_a_section_are_one_line() -> None:
    items = (Kind.ENTER_MMU << ITEM_SHIFT, Kind.SET_PTE << ITEM_SHIFT | 70, Kind.LEAVE_MMU << ITEM_SHIFT)
    walked = walk(K2621, XEN, unit_type=UNIT_SEQ, items=items)
    assert [(step.op, step.repeat) for step in walked.steps] == [
        ("enter_lazy_mmu", 1),
        ("set_pte", 70),
        ("leave_lazy_mmu", 1),
    ]
    assert walked.steps[1].entries == 70 and walked.totals.entries == 70


def test_a_sequence_too_long_to_remember_says_how_much_is_missing_and_still_adds_up() -> None:
    pair = (Kind.SET_PTE << ITEM_SHIFT | 1, Kind.READ_PTE << ITEM_SHIFT)
    items = (Kind.ENTER_MMU << ITEM_SHIFT, *(pair * HISTORY_MAX), Kind.LEAVE_MMU << ITEM_SHIFT)
    walked = walk(K2621, XEN, unit_type=UNIT_SEQ, items=items)
    assert walked.forgotten == len(items) - HISTORY_MAX
    assert len(walked.steps) == HISTORY_MAX
    assert walked.steps[-1].op == "leave_lazy_mmu" and walked.steps[-1].sums == walked.totals
    assert walked.totals.entries == HISTORY_MAX


def test_two_backends_are_aligned_by_their_place_in_the_path() -> None:
    shape = facts_shape("iopl_differs", "mm_differs")
    native, xen = (
        walk(K2621, load_backend(name, K2621), unit_type=UNIT_SWITCH, shape=shape)
        for name in ("native", "xen")
    )
    rows = aligned([native, xen])
    assert all(step is not None for row in rows for step in row.steps if row.any.taken)
    (iopl,) = (row for row in rows if row.any.step == "set_iopl")
    # kernel_rpl: a native kernel is in ring 0, a Xen guest is not
    assert [step is not None and step.taken for step in iopl.steps] == [False, True]
    assert iopl.steps[0] is not None and reason(iopl.steps[0]) == "not kernel_rpl"
    assert iopl.steps[1] is not None and reason(iopl.steps[1]) == "iopl_differs, kernel_rpl"


def facts_shape(*names: str) -> int:
    from pvreplay.machine.shape import MASKS

    return sum(MASKS[name] for name in names)
