"""Lazy MMU sections: n writes at once cost what n writes cost; both engines agree, whatever is simulated."""

from __future__ import annotations

import random
from functools import cache
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.backends.reader import builtin_backends, load_backend
from pvreplay.kernels.model import Kernel
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.backend import Backend
from pvreplay.machine.ops import OPS, SEGMENTS
from pvreplay.machine.policy import POLICIES
from pvreplay.machine.shape import GUARDS, ITEM_PARK, ITEM_RESUME, ITEM_SHIFT, MASKS, UNIT_SEQ
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.replay.step import step_trace
from pvreplay.replay.window import Outcome, run_window
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace
from pvreplay.trace.model import Meta
from tests.replay_traces import random_task

COUNTS = (1, 2, 21, 22, 31, 32, 33, 42, 43, 63, 64, 65, 127, 300)
"""Around what the queues hold: 21 and 42 (KVM), 31 and 32 (Xen), 64 (lguest)."""


def item(kind: int, payload: int = 0) -> int:
    return kind << ITEM_SHIFT | payload


@cache
def kernel(name: str) -> Kernel:
    return load_kernel(name)


@cache
def backend(name: str, kernel_name: str) -> Backend:
    return load_backend(name, kernel(kernel_name))


def outcome(kernel_name: str, backend_name: str, items: tuple[int, ...], policy: str = "seed2006") -> Outcome:
    return run_window(
        kernel(kernel_name),
        backend(backend_name, kernel_name),
        {},
        unit_type=UNIT_SEQ,
        items=items,
        policy=POLICIES[policy],
    )


def told(found: Outcome) -> tuple[Any, ...]:
    """Everything an outcome says but for the numbers of the steps."""
    rules = sorted({(one.finding.rule.code, one.finding.key) for one in found.verdicts})
    return found.totals, found.switches, found.flushes, found.batch_sizes, found.by_op, rules


def one_by_one(items: tuple[int, ...]) -> tuple[int, ...]:
    """The same writes, each an item of its own."""
    mask = (1 << ITEM_SHIFT) - 1
    return tuple(
        one
        for whole in items
        for one in (
            [item(Kind.SET_PTE, 1)] * (whole & mask) if whole >> ITEM_SHIFT == Kind.SET_PTE else [whole]
        )
    )


@pytest.mark.parametrize("name", builtin_kernels())
def test_n_writes_cost_what_n_times_one_write_cost_on_every_backend(name: str) -> None:
    for backend_name, count in product(builtin_backends(), COUNTS):
        inside = (item(Kind.ENTER_MMU), item(Kind.SET_PTE, count), item(Kind.LEAVE_MMU))
        outside = (item(Kind.SET_PTE, count),)
        irq = (item(Kind.IRQ_ENTER), item(Kind.SET_PTE, count), item(Kind.IRQ_EXIT))
        for items in (inside, outside, (*inside[:2], *irq, *inside[1:])):
            assert told(outcome(name, backend_name, items)) == told(
                outcome(name, backend_name, one_by_one(items))
            ), (backend_name, count)


ITEMS = st.one_of(
    st.integers(1, 90).map(lambda count: item(Kind.SET_PTE, count)),
    st.sampled_from(
        [
            *map(
                item,
                (
                    Kind.ENTER_MMU,
                    Kind.LEAVE_MMU,
                    Kind.FLUSH,
                    Kind.READ_PTE,
                    Kind.IRQ_ENTER,
                    Kind.IRQ_EXIT,
                    Kind.NMI_ENTER,
                    Kind.NMI_EXIT,
                    Kind.SLEEP,
                    Kind.USER,
                    ITEM_PARK,
                    ITEM_RESUME,
                ),
            ),
            item(Kind.SWITCH, MASKS["mm_differs"]),
            item(Kind.SWITCH, MASKS["next_kernel"] | MASKS["prev_fpu"]),
        ]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ITEMS, max_size=12),
    st.sampled_from(builtin_kernels()),
    st.sampled_from(builtin_backends()),
    st.sampled_from(list(POLICIES)),
)
def test_n_writes_cost_what_n_times_one_write_cost_in_any_section(
    items: list[int], kernel_name: str, backend_name: str, policy: str
) -> None:
    folded = tuple(items)
    assert told(outcome(kernel_name, backend_name, folded, policy)) == told(
        outcome(kernel_name, backend_name, one_by_one(folded), policy)
    )


# --- both engines, every kernel, backend and policy ---------------------------------------------------

TOKENS = tuple(
    name
    if op.operand not in ("segment", "msr", "resource")
    else f"{name}:{'gs_base' if op.operand == 'msr' else 'fs'}"
    for name, op in OPS.items()
    if name not in ("begin", "end")
)
SECTION_KINDS = (
    Kind.ENTER_MMU,
    Kind.LEAVE_MMU,
    Kind.SET_PTE,
    Kind.SET_PTE,
    Kind.SWITCH,
    Kind.SWITCH,
    Kind.IRQ_ENTER,
    Kind.IRQ_EXIT,
    Kind.READ_PTE,
    Kind.FLUSH,
    Kind.SLEEP,
    Kind.USER,
    Kind.FAULT_ENTER,
    Kind.FAULT_EXIT,
)
OP_KINDS = (*SECTION_KINDS[:4], Kind.BEGIN, Kind.BEGIN, *[Kind.OP] * 10, Kind.END, Kind.END, Kind.USER)


def section_trace(seed: int, events: int, kinds: tuple[Kind, ...]) -> ListTrace:
    """Sections with switches and interrupts in them (or windows of any op), on two CPUs."""
    rng = random.Random(seed)
    drawn: list[Event] = []
    for time_ns in range(1, events + 1):
        kind = rng.choice(kinds)
        arg = {
            Kind.SET_PTE: rng.choice((1, 5, 40)),
            Kind.SWITCH: rng.randrange(4),
            Kind.BEGIN: rng.randrange(4),
            Kind.OP: rng.randrange(len(TOKENS)),
        }.get(kind, 0)
        drawn.append((time_ns, rng.randrange(2), int(kind), arg))
    meta = Meta(path="<sections>", format="memory", cpus=2, ops=TOKENS)
    return ListTrace(drawn, [random_task(rng, number) for number in (1, 2, 3)], meta=meta)


@pytest.mark.parametrize("name", builtin_kernels())
def test_the_engines_agree_on_sections_and_windows_for_every_backend_and_policy(name: str) -> None:
    loaded = kernel(name)
    backends = [backend(one, name) for one in builtin_backends()]
    seed = builtin_kernels().index(name)
    for kinds, policy in product((SECTION_KINDS, OP_KINDS), POLICIES):
        trace = section_trace(seed, 150, kinds)
        shapes = msgspec.to_builtins(price(replay(trace, loaded), loaded, backends, policy=policy))
        steps = msgspec.to_builtins(step_trace(trace, loaded, backends, policy=policy))
        assert (shapes.pop("engine"), steps.pop("engine")) == ("shape", "step")
        for key, value in shapes.items():
            assert value == steps[key], (policy, key)
        assert shapes["switches"] > 5 and shapes["violations"]


# --- what a switch in a section is ----------------------------------------------------------------------

PARKED: list[Event] = [
    (1, 0, Kind.ENTER_MMU),
    (2, 0, Kind.SET_PTE, 3),
    (3, 0, Kind.SWITCH, 2),
    (4, 0, Kind.SET_PTE, 1),
    (5, 0, Kind.SWITCH, 1),
    (6, 0, Kind.SET_PTE, 4),
    (7, 0, Kind.LEAVE_MMU),
]


def parked(kernel_name: str, policy: str) -> Any:
    tasks = [random_task(random.Random(0), number) for number in (1, 2)]
    for task in tasks:
        task.mm, task.fpu, task.iopl, task.ldt = task.id, False, 0, 0
    trace = ListTrace(PARKED, tasks, [(0, 1)])
    loaded = kernel(kernel_name)
    return price(replay(trace, loaded), loaded, [backend("xen", kernel_name)], policy=policy)


@pytest.mark.parametrize("kernel_name", [name for name in builtin_kernels() if load_kernel(name).parks])
def test_a_section_is_parked_and_resumed_where_the_kernel_does_so(kernel_name: str) -> None:
    report = parked(kernel_name, "x86-2009")
    assert [one.rule for one in report.violations if one.severity == "error"] == []
    xen = report.backends[0]
    assert xen.flushes["park"] == 1 and xen.flushes["leave_mmu"] == 1
    # the writes of the section go in two batches, the other task's at once
    assert xen.by_op["set_pte"].hypercalls + xen.by_op["set_pte"].traps == 1
    assert xen.outside["lazy_mmu"].count == 3


@pytest.mark.parametrize("kernel_name", [name for name in builtin_kernels() if not load_kernel(name).parks])
def test_a_switch_in_a_section_is_a_violation_where_the_kernel_does_not_park(kernel_name: str) -> None:
    for policy in POLICIES:
        report = parked(kernel_name, policy)
        broken = {one.rule for one in report.violations if one.severity == "error"}
        assert broken & {"P3", "P5"}, (policy, broken)
        assert report.switches == 2
        assert "park" not in report.backends[0].flushes


def test_every_guard_of_a_switch_may_occur_inside_a_section() -> None:
    for guard in GUARDS:
        found = outcome(
            "2.6.30", "xen", (item(Kind.ENTER_MMU), item(Kind.SWITCH, MASKS[guard]), item(Kind.LEAVE_MMU))
        )
        assert len(found.switches) == 1, guard


def test_a_segment_token_is_one_of_the_segments() -> None:
    assert {"savesegment:fs", "loadsegment:fs"} <= set(TOKENS) and "fs" in SEGMENTS
