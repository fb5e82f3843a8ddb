"""One switch on every backend and version: the published counts, step by step.

The numbers are those of the kernel's code: a switch of the shape named, on the
kernel named, as (hypercalls, entries, traps, ROM calls).
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pvreplay.backends.reader import BASE_BACKENDS, load_backend
from pvreplay.kernels.model import Kernel
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.shape import GUARDS, UNIT_LEAVE_MM, UNIT_NM
from pvreplay.replay.window import facts_of, run_window
from tests.machine_helpers import backend, shape, switch

A: tuple[str, ...] = ()
B = ("mm_differs",)
C = ("mm_differs", "prev_fpu")
D = ("mm_differs", "prev_fpu", "next_eager")

#: Scenarios A to D: nothing differs; another mm; prev used the FPU; next is restored eagerly.
XEN = {
    # read_cr0, write_cr0 and clts are emulated: two traps for stts, one for the eager clts after the batch.
    "2.6.21": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 5, 2, 0), (1, 5, 3, 0)),
    "2.6.24": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 5, 2, 0), (1, 5, 3, 0)),
    # write_cr0 is queued, clts a multicall of its own; read_cr0 still traps.
    "2.6.27": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 6, 1, 0), (2, 7, 1, 0)),
    "2.6.30": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 6, 1, 0), (2, 7, 1, 0)),
    # read_cr0 comes from a copy.
    "2.6.31": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 6, 0, 0), (2, 7, 0, 0)),
    # clts inside the batch.
    "2.6.32": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 6, 0, 0), (1, 7, 0, 0)),
    "2.6.35": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 6, 0, 0), (1, 7, 0, 0)),
    "3.1": ((1, 4, 0, 0), (1, 5, 0, 0), (1, 6, 0, 0), (1, 7, 0, 0)),
    # load_sp0 after the batch, TLS skipped when equal, no TS: one flush of one entry, two with a new mm.
    "4.13": ((1, 1, 0, 0), (2, 2, 0, 0), (2, 2, 0, 0), (2, 2, 0, 0)),
}
LGUEST = {
    "2.6.24": ((1, 2, 0, 0), (1, 3, 0, 0), (1, 4, 0, 0), (2, 4, 0, 0)),
    "2.6.32": ((1, 2, 0, 0), (1, 3, 0, 0), (1, 4, 0, 0), (1, 5, 0, 0)),
}
VMI = {
    # SetLazyMode twice, UpdateKernelStack; + SetCR3; + GetCR0 (local), SetCR0; + CLTS after the batch.
    "seed": ((1, 1, 0, 3), (1, 2, 0, 4), (1, 3, 0, 6), (2, 3, 0, 7)),
    "2.6.21": ((1, 1, 0, 3), (1, 2, 0, 4), (1, 3, 0, 6), (2, 3, 0, 7)),
    "2.6.32": ((1, 1, 0, 3), (1, 2, 0, 4), (1, 3, 0, 6), (1, 4, 0, 7)),
}
SCENARIOS = [
    (name, kernel, "ABCD"[place], names, counts[place])
    for name, table in (("xen", XEN), ("lguest", LGUEST), ("vmi", VMI))
    for kernel, counts in table.items()
    for place, names in enumerate((A, B, C, D))
]


@pytest.mark.parametrize(("name", "kernel", "scenario", "names", "expected"), SCENARIOS)
def test_scenarios_a_to_d(
    name: str, kernel: str, scenario: str, names: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    assert switch(kernel, name, *names).totals == expected


@pytest.mark.parametrize("kernel", ["2.6.20", "seed", "2.6.21", "2.6.24", "2.6.32", "3.1", "4.13"])
@pytest.mark.parametrize("name", ["native", "kvm"])
def test_native_and_kvm_never_cross_in_a_switch(name: str, kernel: str) -> None:
    names = (*D, "ldt_differs", "iopl_differs", "next_dr", "next_notsc", "prev_gs", "next_io_bitmap")
    outcome = switch(kernel, name, *names, tls=3)
    assert outcome.totals == (0, 0, 0, 0)
    assert outcome.by_op["load_tls"][4] == 1


#: One guard each, on 2.6.21: (what native counts: op -> times, VMI, Xen, lguest beyond scenario A).
STEPS = [
    (("mm_differs",), {"write_cr3": 1}, (0, 1, 0, 1), (0, 1, 0, 0), (0, 1, 0, 0)),
    (("mm_differs", "ldt_differs"), {"write_cr3": 1, "set_ldt": 1}, (0, 3, 0, 3), (0, 2, 0, 0), (0, 1, 0, 0)),
    (("lazy_tlb_reload",), {"write_cr3": 1, "set_ldt": 1}, (0, 3, 0, 3), (0, 2, 0, 0), (0, 1, 0, 0)),
    (
        ("prev_fpu",),
        {"read_cr0": 1, "write_cr0": 1, "fpu_save": 1},
        (0, 1, 0, 2),
        (0, 0, 2, 0),
        (0, 1, 0, 0),
    ),
    (("next_eager",), {"clts": 1, "fpu_restore": 1}, (1, 0, 0, 1), (0, 0, 1, 0), (1, 0, 0, 0)),
    (("next_dr",), {"set_debugreg": 6}, (0, 6, 0, 6), (6, 0, 0, 0), (0, 0, 0, 0)),
    (("prev_dr",), {}, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    (("next_io_bitmap",), {}, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    (("prev_io_bitmap",), {}, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    # Xen up to 2.6.26 ignores write_cr4; read_cr4 traps.
    (("next_notsc",), {"read_cr4": 1, "write_cr4": 1}, (0, 1, 0, 2), (0, 0, 1, 0), (0, 0, 0, 0)),
    (("prev_notsc", "next_notsc"), {}, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    (("prev_gs",), {"loadsegment": 1}, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    (("next_kernel",), {}, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
]


@pytest.mark.parametrize(("names", "ops", "vmi", "xen", "lguest"), STEPS, ids=lambda value: str(value)[:40])
def test_every_step_of_2_6_21_costs_what_its_ops_cost(
    names: tuple[str, ...],
    ops: dict[str, int],
    vmi: tuple[int, ...],
    xen: tuple[int, ...],
    lguest: tuple[int, ...],
) -> None:
    always = {"enter_lazy_cpu", "load_sp0", "savesegment", "load_tls", "leave_lazy_cpu", "set_current"}
    native = switch("2.6.21", "native", *names)
    assert {op: row[4] for op, row in native.by_op.items() if op not in always} == ops
    assert always <= set(native.by_op)
    for name, beyond in (("vmi", vmi), ("xen", xen), ("lguest", lguest)):
        base, with_guard = switch("2.6.21", name).totals, switch("2.6.21", name, *names).totals
        assert tuple(b - a for a, b in zip(base, with_guard, strict=True)) == beyond, name


def test_iopl_is_written_as_the_policy_says() -> None:
    for policy, native_ops, xen in (("posted", 1, 2), ("merged", 0, 2), ("never", 0, 1)):
        native = switch("2.6.21", "native", "iopl_differs", iopl=policy)
        assert native.by_op.get("set_iopl_mask", [0] * 5)[4] == native_ops, policy
        assert native.totals == (0, 0, 0, 0)
        assert switch("2.6.21", "xen", "iopl_differs", iopl=policy).totals[0] == xen, policy


def test_iopl_on_the_other_backends() -> None:
    vmi = switch("2.6.21", "vmi", "iopl_differs")
    assert vmi.by_op["set_iopl_mask"] == [0, 1, 0, 1, 1]
    # lguest's kernel runs in ring 1, so it is called, and does nothing; KVM's in ring 0, so it is not.
    assert switch("2.6.21", "lguest", "iopl_differs").by_op["set_iopl_mask"] == [0, 0, 0, 0, 1]
    assert "set_iopl_mask" not in switch("2.6.21", "kvm", "iopl_differs").by_op


@pytest.mark.parametrize(
    ("kernel", "name", "expected"),
    [
        ("2.6.21", "native", (0, 0, 0, 0)),
        ("2.6.21", "vmi", (1, 0, 0, 2)),  # GetCR0 + CLTS
        ("2.6.24", "xen", (0, 0, 2, 0)),  # T + T
        ("2.6.27", "xen", (1, 1, 1, 0)),  # T + a multicall of one
        ("2.6.31", "xen", (1, 1, 0, 0)),
        ("2.6.24", "lguest", (1, 0, 0, 0)),
        ("2.6.27", "kvm", (0, 0, 0, 0)),
    ],
)
def test_a_device_not_available_fault(kernel: str, name: str, expected: tuple[int, ...]) -> None:
    outcome = run_window(load_kernel(kernel), backend(name, kernel), {}, unit_type=UNIT_NM)
    assert outcome.totals == expected and outcome.switches == []


def test_leave_mm_is_one_write_of_cr3_at_once() -> None:
    for name, expected in (("vmi", (1, 0, 0, 1)), ("xen", (1, 1, 0, 0)), ("lguest", (1, 0, 0, 0))):
        loaded = load_kernel("2.6.21")
        outcome = run_window(loaded, backend(name, "2.6.21"), {}, unit_type=UNIT_LEAVE_MM)
        assert outcome.totals == expected


@pytest.mark.parametrize("slots", [0, 1, 2, 3])
def test_tls_slots_count_where_the_backend_compares_them(slots: int) -> None:
    tls = {
        name: switch(kernel, name, tls=slots).by_op["load_tls"]
        for kernel, name in (("2.6.21", "vmi"), ("3.1", "xen"), ("2.6.32", "lguest"))
    }
    assert tls["vmi"] == [0, slots, 0, slots, 1]
    assert tls["xen"] == [0, 3, 0, 0, 1]
    assert tls["lguest"] == [0, 1, 0, 0, 1]
    assert switch("4.13", "xen", tls=slots).by_op["load_tls"] == [0, slots, 0, 0, 1]


def test_the_seed_writes_tsd_outside_the_batch_and_2_6_21_inside() -> None:
    # SetCR4 crosses by itself after the leave in the seed; in 2.6.21 it is one more entry.
    assert switch("seed", "vmi", "next_notsc").totals == (2, 1, 0, 5)
    assert switch("2.6.21", "vmi", "next_notsc").totals == (1, 2, 0, 5)
    rules = [verdict.finding.rule.code for verdict in switch("seed", "vmi", "next_notsc").verdicts]
    assert rules == ["W1"]


def test_before_the_patch_every_op_is_a_crossing() -> None:
    assert switch("2.6.20", "vmi", *D, tls=1).totals == (5, 0, 0, 6)
    assert switch("2.6.20", "xen", *D).totals == (3, 5, 3, 0)  # cr3, stack, one batch of three TLS entries
    assert switch("2.6.20", "lguest", *D).totals == (5, 0, 0, 0)


def test_baselines_of_a_switch() -> None:
    expected = {
        "xen-unbatched": (7, 7, 0, 0),
        "xen-nolazy": (5, 7, 0, 0),
        "lguest-unbatched": (5, 5, 0, 0),
        "lguest-nolazy": (5, 0, 0, 0),
        "vmi-unbatched": (4, 4, 0, 7),
        "vmi-nolazy": (4, 0, 0, 5),
        "kvm-unbatched": (0, 0, 0, 0),
        "kvm-nolazy": (0, 0, 0, 0),
    }
    for name, totals in expected.items():
        assert switch("2.6.32", name, *D).totals == totals, name


def test_a_switch_on_6_1_is_what_was_recorded_on_a_xen_guest() -> None:
    # Always: RDMSR emulated, set_segment_base for the user GS base, stack_switch as a flush of one.
    same_mm = switch("6.1", "xen")
    assert same_mm.totals == (2, 1, 1, 0)
    assert same_mm.flushes == {"immediate_op": 1} and same_mm.batch_sizes == {1: 1}
    # Another mm: one mmuext_op entry (kernel and user base merged), flushed at the end of the switch.
    other = switch("6.1", "xen", "mm_differs")
    assert other.totals == (3, 2, 1, 0)
    assert other.flushes == {"leave_cpu": 1, "immediate_op": 1} and other.batch_sizes == {1: 2}
    # A set_thread_area task: one update_descriptor, out and in.
    assert switch("6.1", "xen", tls=1).flushes == {"leave_cpu": 1, "immediate_op": 1}
    assert switch("6.1", "xen", "mm_differs", tls=1).batch_sizes == {1: 1, 2: 1}


def test_the_difference_between_2_6_31_and_2_6_32_is_the_eager_clts() -> None:
    before, after = switch("2.6.31", "xen", *D), switch("2.6.32", "xen", *D)
    assert before.by_op["clts"] == [1, 1, 0, 0, 1]
    assert after.by_op["clts"] == [0, 1, 0, 0, 1]
    assert switch("2.6.31", "xen", *C).totals == switch("2.6.32", "xen", *C).totals


NEEDED = {
    "switch_mm_cr3": ("mm_differs",),
    "switch_mm_ldt": ("mm_differs", "ldt_differs", "next_ldt"),
    "unlazy_fpu": ("prev_fpu",),
    "load_esp0": (),
    "load_sp0": (),
    "load_tls": ("tls",),
    "xtra_debugreg": ("next_dr",),
    "disable_tsc": ("next_notsc",),
    "xtra_tsc": ("next_notsc",),
    "preload_clts": ("next_eager",),
    "math_state_restore": ("next_eager",),
    "loadsegment": ("next_gs",),
    "load_gs_index": ("prev_gs",),
}
"""Steps that give the next task its state (IOPL aside, see above), and a shape in which they are taken."""


@pytest.mark.parametrize("kernel", builtin_kernels())
@pytest.mark.parametrize("name", ["native", "vmi", "xen", "lguest", "kvm"])
def test_every_kernel_gives_next_its_state_and_a_patch_that_drops_a_step_does_not(
    kernel: str, name: str, tmp_path: Path
) -> None:
    whole = load_kernel(kernel)
    for step in (step for step in whole.steps if step.name in NEEDED):
        wanted = NEEDED[step.name]
        facts = facts_of(shape(*(guard for guard in wanted if guard != "tls"), tls=int("tls" in wanted)))
        patch = tmp_path / f"{step.name}.toml"
        patch.write_text(f'extends = "{kernel}"\nname = "patch"\n[[change]]\ndrop = "{step.name}"\n')
        assert rules_of(whole, name, facts) == [], step.name
        taken = any(placed.step == step.name for placed in whole.expand({**facts, **traits(name, whole)}))
        writes = [op.partition(":")[0] for op in step.ops]
        # what next needs of the FPU in 2.6.32 is the clts; the restore alone is of no resource that leaks
        restores = step.name == "math_state_restore" and "clts" not in writes
        implicit = name == "lguest" and step.name in IMPLICIT
        told = [] if implicit or restores or not taken else [["S1"], ["H4"]]
        assert rules_of(load_kernel(str(patch)), name, facts) in (told or [[]]), (step.name, taken)


IMPLICIT = ("switch_mm_ldt", "xtra_debugreg", "disable_tsc", "xtra_tsc")
"""What lguest makes nothing of."""


def traits(name: str, kernel: Kernel) -> dict[str, int]:
    return dict(load_backend(name, kernel).traits)


def rules_of(kernel: Kernel, name: str, facts: dict[str, int]) -> list[str]:
    """The rules that such a switch breaks, performance findings aside."""
    outcome = run_window(kernel, load_backend(name, kernel), facts)
    return [one.finding.rule.code for one in outcome.verdicts if one.finding.rule.severity != "perf"]


@pytest.mark.parametrize("kernel", builtin_kernels())
def test_no_switch_of_a_built_in_kernel_breaks_a_rule_but_iopl_in_2_6_20_outside_ring_0(kernel: str) -> None:
    chance = random.Random(3)
    loaded = load_kernel(kernel)
    backends = [load_backend(spec, loaded) for spec in (*BASE_BACKENDS, "vmi:spec2006", "vmi:hvm-ident")]
    for _ in range(40):
        facts = {guard: int(chance.random() < 0.4) for guard in GUARDS} | {"tls": chance.randrange(4)}
        user, fpu = not facts["next_kernel"], loaded.fpu.model == "lazy"
        facts["mm_differs"] &= user
        facts["lazy_tlb_reload"] &= user and not facts["mm_differs"]
        facts["ldt_differs"] &= facts["mm_differs"] and (facts["prev_ldt"] | facts["next_ldt"])
        facts["next_eager"] &= fpu
        facts["in_irq"] = 0
        for one in backends:
            outcome = run_window(loaded, one, facts)
            broken = [
                told.finding.rule.code for told in outcome.verdicts if told.finding.rule.severity != "perf"
            ]
            ring_1 = kernel == "2.6.20" and one.name in ("vmi", "xen", "vmi:spec2006")
            leaks = ring_1 and user and facts["iopl_differs"]
            assert broken == (["S1"] if leaks else []), (one.name, facts)
