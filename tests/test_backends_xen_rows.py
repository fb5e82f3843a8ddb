"""Rows of the Xen backend that depend on version and architecture, one by one."""

from __future__ import annotations

from itertools import product

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.policy import POLICIES
from pvreplay.machine.shape import GUARDS
from pvreplay.replay.window import facts_of, run_window
from tests.machine_helpers import counts, shape, stepped

USER_SELECTORS = ("prev_gs", "next_gs", "mm_differs", "prev_fpu", "next_kernel")


@pytest.mark.parametrize("kernel", ["5.17", "6.1"])
def test_clearing_fs_alone_is_no_hazard_for_gs_on_64_bit(kernel: str) -> None:
    loaded = load_kernel(kernel)
    backend = load_backend("xen", loaded)
    assert backend.table["load_tls"].row is not None and backend.table["load_tls"].row.clears == ("fs",)
    for chosen in product((False, True), repeat=len(USER_SELECTORS)):
        guards = [name for name, on in zip(USER_SELECTORS, chosen, strict=True) if on]
        for tls, policy in product(range(4), POLICIES.values()):
            outcome = run_window(loaded, backend, facts_of(shape(*guards, tls=tls)), policy=policy)
            assert "H3a" not in [one.finding.rule.code for one in outcome.verdicts], guards


@pytest.mark.parametrize("kernel", ["5.17", "6.1"])
def test_the_recorded_64_bit_switch_breaks_no_rule_whatever_differs(kernel: str) -> None:
    loaded = load_kernel(kernel)
    backend = load_backend("xen", loaded)
    lone = [name for name in GUARDS if name not in ("in_irq", "ldt_differs")]
    for guards in [[name] for name in lone] + [["mm_differs", "ldt_differs", "next_ldt"]]:
        outcome = run_window(loaded, backend, facts_of(shape(*guards, tls=1)))
        broken = [one.finding.rule.code for one in outcome.verdicts if one.finding.rule.severity != "perf"]
        assert broken == [], guards


@pytest.mark.parametrize(
    "kernel, lazy, at_once",
    [("2.6.24", 1, 1), ("2.6.35", 1, 1), ("3.1", 1, 0), ("4.13", 1, 0), ("5.17", 1, 1), ("6.1", 1, 1)],
)
def test_clearing_a_pte_costs_what_setting_it_does(kernel: str, lazy: int, at_once: int) -> None:
    for op in ("pte_clear", "set_pte"):
        section = stepped(f"enter_lazy_mmu {op}*5 leave_lazy_mmu", "xen", kernel)
        assert section.hypercalls == lazy, op
        alone = stepped(op, "xen", kernel)
        assert (alone.hypercalls, alone.traps) == (at_once, 1 - at_once), op


def test_a_new_page_table_is_made_read_only_and_pinned() -> None:
    for op in ("alloc_pte", "release_pte"):
        assert counts(stepped(op, "xen", "2.6.35")) == (2, 0, 0, 0)
        assert counts(stepped(f"enter_lazy_mmu {op} leave_lazy_mmu", "xen", "2.6.35")) == (2, 0, 0, 0)
        assert counts(stepped(op, "xen", "3.1")) == (1, 2, 0, 0)
        assert counts(stepped(f"enter_lazy_mmu {op} {op} leave_lazy_mmu", "xen", "6.1")) == (1, 4, 0, 0)
        assert counts(stepped(op, "native", "3.1")) == (0, 0, 0, 0)
