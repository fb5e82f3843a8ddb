"""The order of steps of every built-in kernel, written out by hand from the kernels' sources.

The tables below are the test's own reading of context_switch() and __switch_to(); they are not made from the
kernel files.
"""

from __future__ import annotations

from itertools import product

import pytest

from pvreplay.kernels import Kernel, builtin_kernels, load_kernel
from pvreplay.machine.ops import OPS, parse
from pvreplay.machine.shape import GUARDS

SHORT = {
    "MM": "write_cr3 set_ldt",
    "STTS": "read_cr0 write_cr0",
    "DR": " ".join(f"set_debugreg:{number}" for number in (0, 1, 2, 3, 6, 7)),
    "TSC": "read_cr4 write_cr4",
    "SAVE_GS": "savesegment:gs",
    "LOAD_GS": "loadsegment:gs",
    "RDCTL": "read_msr:debugctl",
    "WRCTL": "write_msr:debugctl",
}
DEBUGREGS = SHORT["DR"].split()


def spelt(text: str) -> list[str]:
    """Ops from words; the upper-case ones stand for what SHORT says."""
    return [op for word in text.split() for op in SHORT.get(word, word).split()]


# Every step taken: mm and LDT differ, prev used the FPU, next is eager, IOPL differs, next has debug
# registers and an I/O bitmap, prev has the TSC disabled and steps by blocks; the backend's
# kernel is not at ring 0.
FULL = {
    "2.6.20": spelt(
        "MM fpu_save STTS load_sp0 savesegment:fs load_tls loadsegment:fs set_current DR TSC clts fpu_restore"
    ),
    "seed": spelt(
        "enter_lazy_cpu MM fpu_save STTS load_sp0 savesegment:fs load_tls set_iopl_mask DR leave_lazy_cpu "
        "TSC clts fpu_restore loadsegment:fs set_current"
    ),
    "2.6.21": spelt(
        "enter_lazy_cpu MM fpu_save STTS load_sp0 SAVE_GS load_tls set_iopl_mask DR TSC leave_lazy_cpu "
        "clts fpu_restore LOAD_GS set_current"
    ),
    "2.6.24": spelt(
        "enter_lazy_cpu MM fpu_save STTS load_sp0 SAVE_GS load_tls set_iopl_mask DR TSC leave_lazy_cpu "
        "clts fpu_restore LOAD_GS set_current"
    ),
    "2.6.30": spelt(
        "enter_lazy_cpu MM fpu_save STTS load_sp0 SAVE_GS load_tls set_iopl_mask WRCTL DR TSC leave_lazy_cpu "
        "clts fpu_restore LOAD_GS set_current"
    ),
    "2.6.31": spelt(
        "start_context_switch MM fpu_save STTS load_sp0 SAVE_GS load_tls set_iopl_mask WRCTL DR TSC "
        "end_context_switch clts fpu_restore LOAD_GS set_current"
    ),
    "2.6.32": spelt(
        "start_context_switch MM fpu_save STTS load_sp0 SAVE_GS load_tls set_iopl_mask WRCTL DR TSC clts "
        "end_context_switch fpu_restore LOAD_GS set_current"
    ),
    "2.6.35": spelt(
        "start_context_switch MM fpu_save STTS load_sp0 SAVE_GS load_tls set_iopl_mask RDCTL WRCTL TSC clts "
        "end_context_switch fpu_restore LOAD_GS set_current"
    ),
    "4.13": spelt(
        "start_context_switch MM fpu_save SAVE_GS load_tls set_iopl_mask RDCTL WRCTL write_cr4 "
        "end_context_switch load_sp0 LOAD_GS fpu_restore set_current"
    ),
    "6.1": spelt(
        "start_context_switch MM fpu_save savesegment:fs SAVE_GS read_msr:gs_base load_tls "
        "end_context_switch load_gs_index write_msr:gs_base set_current load_sp0 "
        "invalidate_io_bitmap RDCTL WRCTL write_cr4"
    ),
}
FULL["2.6.27"] = FULL["2.6.30"]  # the cited trees on both sides agree, the debugctl write aside
FULL["3.1"] = FULL["2.6.35"]
FULL["5.17"] = FULL["6.1"]

EVERYTHING = (
    "mm_differs ldt_differs prev_ldt next_ldt prev_fpu next_eager iopl_differs next_iopl prev_gs prev_dr "
    "next_dr prev_io_bitmap next_io_bitmap prev_notsc prev_blockstep kernel_rpl"
)


def facts(true: str = "", tls: int = 0) -> dict[str, int]:
    """Facts of which only the named ones are true."""
    values = dict.fromkeys([*GUARDS, "kernel_rpl"], 0)
    for name in true.split():
        assert name in values, name
        values[name] = 1
    values["tls"] = tls
    return values


def ops(kernel: Kernel, true: str = "") -> list[str]:
    return [f"{op}:{operand}" if operand else op for _, op, operand, _ in kernel.expand(facts(true))]


@pytest.fixture(params=builtin_kernels())
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return load_kernel(request.param)


def test_every_kernel_of_the_plan_is_built_in_in_the_order_of_its_version() -> None:
    names = builtin_kernels()
    assert set(names) == set(FULL)
    assert len(names) == 13
    versions = [load_kernel(name).version for name in names]
    assert versions == sorted(set(versions))


def test_the_full_path_has_the_order_written_out_by_hand(kernel: Kernel) -> None:
    assert ops(kernel, EVERYTHING) == FULL[kernel.name]


MINIMAL = {
    "2.6.20": spelt("load_sp0 savesegment:fs load_tls set_current"),
    "seed": spelt("enter_lazy_cpu load_sp0 savesegment:fs load_tls leave_lazy_cpu set_current"),
    "2.6.21": spelt("enter_lazy_cpu load_sp0 SAVE_GS load_tls leave_lazy_cpu set_current"),
    "2.6.31": spelt("start_context_switch load_sp0 SAVE_GS load_tls end_context_switch set_current"),
    "4.13": spelt("start_context_switch SAVE_GS load_tls end_context_switch load_sp0 set_current"),
    "6.1": spelt("start_context_switch savesegment:fs SAVE_GS load_tls end_context_switch set_current"),
}
for same, as_name in (
    ("2.6.24", "2.6.21"),
    ("2.6.27", "2.6.21"),
    ("2.6.30", "2.6.21"),
    ("2.6.32", "2.6.31"),
    ("2.6.35", "2.6.31"),
    ("3.1", "2.6.31"),
    ("5.17", "6.1"),
):
    MINIMAL[same] = MINIMAL[as_name]


def test_a_switch_to_a_kernel_thread_does_only_what_every_switch_does(kernel: Kernel) -> None:
    assert ops(kernel, "next_kernel") == MINIMAL[kernel.name]
    assert ops(kernel, "next_kernel prev_kernel") == MINIMAL[kernel.name]


def test_a_task_switch_inside_one_mm_restores_the_fpu_eagerly_only_from_4_13_on(kernel: Kernel) -> None:
    extra = {"fpu_restore"} if kernel.name == "4.13" else set()
    assert set(ops(kernel)) - set(MINIMAL[kernel.name]) == extra


# What one guard adds to the op set of a switch, per kernel: the i386 rows of the step table.
I386 = [name for name in FULL if name not in ("5.17", "6.1")]
LAZY_FPU = [name for name in I386 if name != "4.13"]


def added(kernel: Kernel, true: str, base: str = "next_kernel") -> list[str]:
    """The ops that *true* adds, in order; *base* keeps what is not under test out."""
    before = ops(kernel, base)
    rest = ops(kernel, f"{base} {true}")
    return [op for op in rest if op not in before]


@pytest.mark.parametrize("name", I386)
@pytest.mark.parametrize(
    ("true", "expected"),
    [
        ("mm_differs", ["write_cr3"]),
        ("mm_differs ldt_differs", ["write_cr3", "set_ldt"]),
        ("ldt_differs", []),
        ("mm_differs prev_ldt next_ldt", ["write_cr3"]),
        ("next_iopl", []),
        ("prev_dr", []),
        ("prev_io_bitmap", []),
        ("next_io_bitmap", []),
        ("prev_io_bitmap next_io_bitmap", []),
        ("prev_notsc next_notsc", []),
        ("prev_blockstep next_blockstep", []),
    ],
)
def test_an_i386_guard_adds_the_ops_of_its_row_and_no_other(
    name: str, true: str, expected: list[str]
) -> None:
    if name == "4.13" and "blockstep" in true:
        expected = ["read_msr:debugctl", "write_msr:debugctl"]
    assert added(load_kernel(name), true) == expected


@pytest.mark.parametrize("name", LAZY_FPU)
def test_a_lazy_tlb_reload_writes_cr3_and_the_ldt_unconditionally(name: str) -> None:
    assert added(load_kernel(name), "lazy_tlb_reload") == ["write_cr3", "set_ldt"]
    assert added(load_kernel(name), "lazy_tlb_reload prev_ldt next_ldt") == ["write_cr3", "set_ldt"]


@pytest.mark.parametrize("name", ["4.13", "5.17", "6.1"])
def test_a_lazy_tlb_reload_comes_from_init_mm_and_loads_the_ldt_of_an_mm_that_has_one(name: str) -> None:
    assert added(load_kernel(name), "lazy_tlb_reload") == ["write_cr3"]
    assert added(load_kernel(name), "lazy_tlb_reload next_ldt") == ["write_cr3", "set_ldt"]


@pytest.mark.parametrize("name", ["5.17", "6.1"])
def test_x86_64_loads_the_ldt_when_either_mm_has_one(name: str) -> None:
    kernel = load_kernel(name)
    assert added(kernel, "mm_differs") == ["write_cr3"]
    assert added(kernel, "mm_differs prev_ldt") == ["write_cr3", "set_ldt"]
    assert added(kernel, "mm_differs next_ldt") == ["write_cr3", "set_ldt"]
    assert added(kernel, "prev_ldt next_ldt") == []


@pytest.mark.parametrize("name", LAZY_FPU)
def test_saving_the_fpu_costs_a_read_and_a_write_of_cr0(name: str) -> None:
    assert added(load_kernel(name), "prev_fpu") == ["fpu_save", "read_cr0", "write_cr0"]


@pytest.mark.parametrize("name", ["4.13", "5.17", "6.1"])
def test_without_ts_the_fpu_is_only_saved(name: str) -> None:
    assert added(load_kernel(name), "prev_fpu") == ["fpu_save"]
    assert load_kernel(name).nm_ops == ()


@pytest.mark.parametrize("name", LAZY_FPU)
def test_an_eager_restore_clears_ts_before_the_flush_only_from_2_6_32_on(name: str) -> None:
    kernel = load_kernel(name)
    path = ops(kernel, "next_eager")
    assert added(kernel, "next_eager") == ["clts", "fpu_restore"]
    if kernel.lazy_cpu:
        leave = path.index("end_context_switch" if kernel.parks else "leave_lazy_cpu")
        assert (path.index("clts") < leave) == (kernel.version >= (2, 6, 32))
        assert path.index("fpu_restore") > leave


@pytest.mark.parametrize("name", I386)
def test_debug_registers_are_written_for_next_alone_until_they_leave_the_path(name: str) -> None:
    expected = [] if name in ("2.6.35", "3.1", "4.13") else DEBUGREGS
    assert added(load_kernel(name), "next_dr") == expected
    assert added(load_kernel(name), "next_dr prev_dr") == expected


@pytest.mark.parametrize("name", list(FULL))
@pytest.mark.parametrize("side", ["prev_notsc", "next_notsc"])
def test_the_tsc_flag_costs_a_read_of_cr4_until_it_has_a_shadow(name: str, side: str) -> None:
    expected = ["write_cr4"] if name in ("4.13", "5.17", "6.1") else ["read_cr4", "write_cr4"]
    assert added(load_kernel(name), side) == expected


def test_the_tsc_write_is_outside_the_batch_in_the_seed_and_inside_as_merged() -> None:
    seed = ops(load_kernel("seed"), "prev_notsc")
    merged = ops(load_kernel("2.6.21"), "prev_notsc")
    assert seed.index("write_cr4") > seed.index("leave_lazy_cpu")
    assert merged.index("write_cr4") < merged.index("leave_lazy_cpu")


@pytest.mark.parametrize("name", list(FULL))
def test_the_user_segment_is_loaded_when_either_task_has_a_selector(name: str) -> None:
    kernel = load_kernel(name)
    expected = ["load_gs_index"] if kernel.arch == "x86-64" else [f"loadsegment:{kernel.user_segment}"]
    for true in ("prev_gs", "next_gs", "prev_gs next_gs"):
        assert added(kernel, true) == expected
    assert kernel.user_segment == ("fs" if name in ("2.6.20", "seed") else "gs")


IOPL_BY_POLICY = {  # policy -> (iopl_differs, kernel_rpl) that write it
    "posted": {(1, 0), (1, 1)},
    "merged": {(1, 1)},
    "never": set(),
}


@pytest.mark.parametrize("policy", IOPL_BY_POLICY)
@pytest.mark.parametrize("name", I386)
def test_the_iopl_policy_decides_when_iopl_is_written(name: str, policy: str) -> None:
    kernel = load_kernel(name, iopl=policy)
    assert kernel.iopl == policy
    for differs, rpl in product((0, 1), repeat=2):
        true = ("iopl_differs " * differs) + ("kernel_rpl " * rpl)
        assert ("set_iopl_mask" in ops(kernel, true)) == ((differs, rpl) in IOPL_BY_POLICY[policy])


def test_each_kernel_has_the_iopl_policy_of_its_history(kernel: Kernel) -> None:
    expected = {"2.6.20": "never", "seed": "posted", "5.17": "never", "6.1": "never"}
    assert kernel.iopl == expected.get(kernel.name, "merged")


def test_block_stepping_writes_debugctl_when_it_differs_or_when_either_task_steps() -> None:
    table = {
        "2.6.21": ([], [], []),
        "2.6.24": ([], [], []),
        "2.6.30": (["write_msr:debugctl"], ["write_msr:debugctl"], []),
        "2.6.32": (["write_msr:debugctl"], ["write_msr:debugctl"], []),
        "2.6.35": (["read_msr:debugctl", "write_msr:debugctl"],) * 2 + ([],),
        "4.13": (["read_msr:debugctl", "write_msr:debugctl"],) * 3,
        "6.1": (["read_msr:debugctl", "write_msr:debugctl"],) * 3,
    }
    for name, (prev, next_, both) in table.items():
        kernel = load_kernel(name)
        assert added(kernel, "prev_blockstep") == prev, name
        assert added(kernel, "next_blockstep") == next_, name
        assert added(kernel, "prev_blockstep next_blockstep") == both, name


@pytest.mark.parametrize("name", ["5.17", "6.1"])
def test_the_switch_out_of_a_task_with_an_io_bitmap_or_iopl_3_invalidates_the_bitmap(name: str) -> None:
    kernel = load_kernel(name)
    table = {
        "prev_io_bitmap": True,
        "next_io_bitmap": False,
        "iopl_differs": True,  # prev 3, next 0
        "iopl_differs next_iopl": False,  # prev 0, next 3
        "next_iopl": True,  # both 3
        "": False,
    }
    for true, invalidates in table.items():
        assert ("invalidate_io_bitmap" in ops(kernel, true)) == invalidates, true


@pytest.mark.parametrize("name", ["5.17", "6.1"])
def test_the_kernel_stack_and_gs_base_go_through_pv_ops_only_where_the_kernel_is_not_at_ring_0(
    name: str,
) -> None:
    kernel = load_kernel(name)
    assert added(kernel, "kernel_rpl") == ["read_msr:gs_base", "write_msr:gs_base", "load_sp0"]
    path = ops(kernel, "kernel_rpl")
    assert path.index("load_sp0") > path.index("end_context_switch")


def test_fpu_rules_follow_their_commits(kernel: Kernel) -> None:
    if kernel.fpu.model == "none":
        assert kernel.name in ("4.13", "5.17", "6.1")
        assert kernel.fpu.drop_on_exit == (kernel.name == "4.13")
        return
    since_2_6_26 = kernel.version >= (2, 6, 26)
    assert kernel.fpu.eager_above == 5
    assert kernel.fpu.eager_needs_used_math == since_2_6_26
    assert kernel.fpu.reset_on_exec == since_2_6_26
    assert kernel.nm_ops == ("read_cr0", "clts", "fpu_restore")


def test_lazy_mode_rules_follow_their_commits(kernel: Kernel) -> None:
    since_2_6_31 = kernel.version >= (2, 6, 31)
    assert kernel.parks == since_2_6_31
    assert kernel.irq_ignores_lazy == since_2_6_31
    assert kernel.lazy_cpu == (kernel.name != "2.6.20")
    assert kernel.lazy_mmu == (kernel.name != "2.6.20")
    assert kernel.leave_mm_ops == ("write_cr3",)
    opener = "start_context_switch" if since_2_6_31 else "enter_lazy_cpu"
    if kernel.lazy_cpu:
        assert kernel.steps[0].ops == (opener,)


def test_every_step_and_every_kernel_says_where_it_is_known_from(kernel: Kernel) -> None:
    assert kernel.sources
    for step in kernel.steps:
        assert len(step.source) > 20, step.name
    for text in (*kernel.sources, *kernel.notes, *kernel.uncertain, *(step.source for step in kernel.steps)):
        assert text.isprintable()


def test_every_op_is_one_the_machine_knows_by_that_name(kernel: Kernel) -> None:
    for step in kernel.steps:
        for op in step.ops:
            token = parse(op)
            assert OPS[op.partition(":")[0]] is token.op
    for op in kernel.nm_ops + kernel.leave_mm_ops:
        assert op in OPS


def test_the_gs_selector_is_saved_before_tls_is_written_and_loaded_after_the_flush(kernel: Kernel) -> None:
    path = ops(kernel, EVERYTHING)
    saved = path.index(f"savesegment:{kernel.user_segment}")
    loaded = path.index("load_gs_index" if kernel.arch == "x86-64" else f"loadsegment:{kernel.user_segment}")
    assert saved < path.index("load_tls") < loaded
    for leave in ("leave_lazy_cpu", "end_context_switch"):
        if leave in path:
            assert path.index("load_tls") < path.index(leave) < loaded


def test_placed_ops_name_their_step_and_its_guard() -> None:
    placed = load_kernel("2.6.21").expand(facts("next_dr"))
    seven = next(op for op in placed if op.operand == "7")
    assert seven == ("xtra_debugreg", "set_debugreg", "7", "next_dr")


def test_steps_with_guards_tell_of_each_step_whether_and_why_it_was_taken() -> None:
    judged = {
        j.step.name: j for j in load_kernel("2.6.21").steps_with_guards(facts("mm_differs iopl_differs"))
    }
    assert judged["load_tls"].taken
    assert judged["load_tls"].because == ()
    assert judged["switch_mm_cr3"].taken
    assert judged["switch_mm_cr3"].because == (("mm_differs", 1),)
    assert not judged["switch_mm_ldt"].taken
    assert judged["switch_mm_ldt"].because == (("ldt_differs", 0), ("lazy_tlb_reload", 0))
    assert not judged["set_iopl"].taken
    assert judged["set_iopl"].because == (("kernel_rpl", 0),)
    taken = [op for j in judged.values() if j.taken for op in j.step.ops]
    assert taken == ops(load_kernel("2.6.21"), "mm_differs iopl_differs")
