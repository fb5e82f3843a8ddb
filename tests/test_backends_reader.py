"""Backend files: which row holds, what a user's own may change, how mistakes are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pvreplay.backends.reader import BASE_BACKENDS, builtin_backends, load_backend
from pvreplay.backends.schema import read
from pvreplay.errors import ConfigError, UsageError
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.backend import Backend, OpRow, RomProfile
from pvreplay.machine.ops import OPS
from pvreplay.machine.queue import QueueSpec
from pvreplay.machine.resources import IOPL
from pvreplay.replay.window import facts_of, run_window
from tests.machine_helpers import backend, counts, shape, stepped, switch

K = load_kernel("2.6.32")


def own(tmp_path: Path, text: str, kernel: str = "2.6.32") -> Backend:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return load_backend(str(path), load_kernel(kernel))


def test_the_built_in_backends_and_their_baselines() -> None:
    names = builtin_backends()
    assert names[:5] == ["native", "vmi", "xen", "lguest", "kvm"]
    assert set(names[5:]) == {f"{base}-{form}" for base in names[1:5] for form in ("unbatched", "nolazy")}


@pytest.mark.parametrize("kernel", builtin_kernels())
def test_every_backend_resolves_for_every_kernel_and_says_when_it_is_not_of_its_time(kernel: str) -> None:
    loaded = load_kernel(kernel)
    for name in builtin_backends():
        resolved = load_backend(name, loaded)
        assert resolved.name == name
        for op in (op for step in loaded.steps for op in step.ops):
            assert resolved.disposition(op).name == op.partition(":")[0]
    notes = " ".join(backend("xen", kernel).notes)
    assert ("entered the kernel in 2.6.23" in notes) == (loaded.version < (2, 6, 23))
    gone = " ".join(backend("vmi", kernel).notes)
    assert ("not in kernels after 2.6.36" in gone) == (loaded.version > (2, 6, 36))


@pytest.mark.parametrize("name", BASE_BACKENDS)
def test_every_row_has_a_source_and_names_an_op(name: str) -> None:
    path = Path(backend(name).path)
    file = read(str(path), path.read_bytes())
    assert file.title and file.description and file.sources
    for row in (*file.op, *file.mode, *file.queue, *file.setting):
        assert row.source, row
    assert {row.name.partition(":")[0] for row in file.op} <= set(OPS)
    for profile in file.profile:
        assert profile.assumption and profile.source


def test_the_rows_of_an_op_do_not_overlap_and_leave_no_gap_between_built_in_kernels() -> None:
    for name in BASE_BACKENDS:
        path = Path(backend(name).path)
        file = read(str(path), path.read_bytes())
        names = {row.name for row in file.op}
        for op in names:
            rows = [row for row in file.op if row.name == op]
            for kernel in builtin_kernels():
                loaded = load_kernel(kernel)
                resolved = load_backend(name, loaded)
                version = tuple(int(part) for part in resolved.rows_version.split("."))
                fitting = [
                    row
                    for row in rows
                    if row.arch in ("", loaded.arch)
                    and (not row.since or version >= tuple(map(int, row.since.split("."))))
                    and (
                        not row.until
                        or version[: row.until.count(".") + 1] <= tuple(map(int, row.until.split(".")))
                    )
                ]
                assert len(fitting) <= 1, (name, op, kernel)


def test_a_kernel_between_two_trees_gets_the_last_row_before_the_gap(tmp_path: Path) -> None:
    kernel = tmp_path / "k.toml"
    kernel.write_text('extends = "3.1"\nname = "3.4"\nversion = [3, 4]\n')
    resolved = load_backend("xen", load_kernel(str(kernel)))
    assert resolved.rows["load_tls"].entries == 3  # the skip came in 2012; 3.1.10 does not have it
    assert resolved.rows["write_cr0"].does == "queue"


def test_a_file_of_ones_own_changes_a_row_and_keeps_the_rest(tmp_path: Path) -> None:
    text = (
        'extends = "xen"\nname = "xen-iopl"\n[[op]]\nname = "set_iopl_mask"\ndoes = "queue"\nmode = ["cpu"]\n'
    )
    path = tmp_path / "my.toml"
    path.write_text(text)
    mine = load_backend(str(path), K)
    assert mine.name == "xen-iopl" and mine.base == "xen" and mine.queue.entries == 32
    assert mine.rows["set_iopl_mask"].does == "queue" and mine.rows["write_cr3"].does == "queue"
    assert load_backend("xen", K).rows["set_iopl_mask"].does == "hypercall"


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "backend-files.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    mine = own(tmp_path, example, "2.6.21")
    loaded = load_kernel("2.6.21")
    facts = facts_of(shape("iopl_differs"))
    assert run_window(loaded, mine, facts).totals == (1, 5, 0, 0)
    assert run_window(loaded, load_backend("xen", loaded), facts).totals == (2, 4, 0, 0)
    for field in (*OpRow.__struct_fields__, *QueueSpec.__struct_fields__, *RomProfile.__struct_fields__):
        assert f"`{field}`" in page, field


def test_a_file_of_ones_own_may_stand_alone(tmp_path: Path) -> None:
    mine = own(tmp_path, '[[op]]\nname = "write_cr3"\ndoes = "trap"\n')
    assert mine.name == "my" and mine.rows["write_cr3"].does == "trap"


def test_rows_of_another_time_do_not_hide_those_of_the_file_extended(tmp_path: Path) -> None:
    text = 'extends = "xen"\n[[op]]\nname = "clts"\ndoes = "trap"\nsince = "3.1"\n'
    assert own(tmp_path, text).rows["clts"].does == "queue"
    assert own(tmp_path, text, "3.1").rows["clts"].does == "trap"


MISTAKES = [
    ('[[op]]\nname = "write_cr9"\ndoes = "trap"\n', "op[0].name: no op 'write_cr9'", "write_cr3"),
    (
        '[[op]]\nname = "clts"\ndoes = "vanish"\n',
        "op[0] (clts).does: invalid enum value 'vanish'",
        "hypercall",
    ),
    ('[[op]]\nname = "clts"\ndoes = "queue"\n', "op[0] (clts).mode", "docs/backend-files.md"),
    ('[[op]]\nname = "clts"\ndoes = "trap"\ncolour = 1\n', "op[0] (clts).colour: unknown key", "outside"),
    ('[[op]]\nname = "clts"\ndoes = "queue"\nmode = ["cpu"]\nentries = 99\n', "found 99", "docs"),
    ('[[op]]\nname = "clts"\ndoes = "trap"\nsince = "two"\n', "expected a version", "docs"),
    ('[[mode]]\nevent = "enter"\n', "mode[0] (enter).event: invalid enum value 'enter'", "enter_cpu"),
    ('[[queue]]\nkind = "heap"\n', "queue[0].kind: invalid enum value 'heap'", "multicall"),
    ('[[setting]]\nname = "speed"\nvalue = 1\n', "setting[0] (speed).name", "kernel_rpl"),
    ('[[setting]]\nname = "implicit"\nvalue = ["CR9"]\n', "no resource 'CR9'", "CR3"),
    ('extends = "nobody"\n', "extends: unknown backend 'nobody'", "native"),
    ("name = \n", "my.toml", "docs/backend-files.md"),
    ('[[op]]\nname = "clts"\ndoes = "rom"\ncalls = ["CLTS"]\n', "default = true", "docs"),
]


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES)
def test_a_mistake_is_told_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        own(tmp_path, text)
    assert "my.toml" in caught.value.message and message in caught.value.message
    assert hint in caught.value.hint


def test_a_circle_of_files_ends(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(ConfigError, match="circle"):
        load_backend(str(tmp_path / "a.toml"), K)


@pytest.mark.parametrize("spec", ["xem", "missing.toml", "native:spec2006", "vmi:spec1999", "-unbatched"])
def test_a_name_that_is_none_is_a_usage_error_with_the_names_there_are(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_backend(spec, K)
    assert caught.value.hint


def test_vmi_profiles_change_what_crosses_and_never_the_rom_calls() -> None:
    names = ("mm_differs", "prev_fpu", "next_dr", "iopl_differs")
    outcomes = {
        profile: switch("2.6.21", f"vmi:{profile}", *names, tls=2)
        for profile in ("deferred", "spec2006", "nothing-queued")
    }
    assert outcomes["deferred"].totals == switch("2.6.21", "vmi", *names, tls=2).totals
    # SetLazyMode x2, SetCR3, GetCR0, SetCR0, UpdateKernelStack, WriteGDTEntry x2, SetIOPLMask, SetDR x6.
    assert {outcome.totals[3] for outcome in outcomes.values()} == {15}
    assert outcomes["deferred"].totals[:2] == (1, 12)
    # SetCR0, SetIOPLMask and SetDR cross at once; the rest is one flush of four.
    assert outcomes["spec2006"].totals[:2] == (9, 4)
    assert outcomes["nothing-queued"].totals[:2] == (13, 0)


def test_vmi_under_hardware_virtualisation_runs_in_ring_0_and_calls_only_for_the_modes() -> None:
    outcome = switch("2.6.21", "vmi:hvm-ident", "mm_differs", "prev_fpu", "iopl_differs", tls=3)
    assert outcome.totals == (0, 0, 0, 2)
    assert "set_iopl_mask" not in outcome.by_op


def test_the_profile_and_the_baseline_are_named_in_the_notes() -> None:
    assert any("ROM profile 'deferred', an assumption" in note for note in backend("vmi").notes)
    assert any("a hypercall of its own" in note for note in backend("xen-unbatched").notes)
    assert any("never entered" in note for note in backend("lguest-nolazy").notes)


def test_at_ring_0_the_flags_pop_restores_iopl_whatever_the_backend() -> None:
    differs = shape("iopl_differs", "mm_differs")
    loaded = load_kernel("2.6.21")
    for spec in ("vmi:hvm-ident", "native", "kvm"):
        outcome = run_window(loaded, load_backend(spec, loaded), facts_of(differs))
        assert "S1" not in [one.finding.rule.code for one in outcome.verdicts], spec
    assert not load_backend("vmi", loaded).implicit & IOPL


def test_what_no_source_settles_of_the_rom_can_be_set(tmp_path: Path) -> None:
    text = """
        extends = "vmi"
        [[queue]]
        kind = "rom"
        entries = 3
        [[profile]]
        name = "eager"
        default = true
        cpu = ["SetCR3", "UpdateKernelStack", "WriteGDTEntry"]
        enter_crosses = true
    """
    mine = own(tmp_path, text, "2.6.21")
    loaded = load_kernel("2.6.21")
    # entering, a full queue of 3, what is left of 5 entries
    outcome = run_window(loaded, mine, facts_of(shape("mm_differs", tls=3)))
    assert outcome.totals == (3, 5, 0, 7) and outcome.flushes == {"full": 1, "leave_cpu": 1}


@pytest.mark.parametrize(
    "op", ["write_gdt_entry", "write_ldt_entry", "write_idt_entry", "load_gdt", "load_idt"]
)
def test_descriptor_tables_are_the_roms_under_vmi(op: str) -> None:
    assert counts(stepped(f"begin enter_lazy_cpu {op} leave_lazy_cpu", "vmi")) == (1, 1, 0, 3)
    assert counts(stepped(op, "vmi")) == (1, 0, 0, 1)
    assert counts(stepped(op, "vmi:hvm-ident")) == (0, 0, 0, 0)
