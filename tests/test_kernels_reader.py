"""Kernel files of a user's own: extends, changes, and errors that say where, what and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvreplay.errors import ConfigError, UsageError
from pvreplay.kernels import Kernel, builtin_kernels, load_kernel
from pvreplay.machine.shape import GUARDS

ZERO = dict.fromkeys([*GUARDS, "tls", "kernel_rpl"], 0)


@pytest.fixture
def write(tmp_path: Path) -> object:
    def write(text: str, name: str = "my.toml") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def names(kernel: Kernel) -> list[str]:
    return [step.name for step in kernel.steps]


def refused(path: str, **options: str) -> tuple[str, str]:
    """The two lines of the error, without the path."""
    with pytest.raises(ConfigError) as caught:
        load_kernel(path, **options)
    assert caught.value.message.startswith(f"{path}: ")
    assert "\n" not in caught.value.message + caught.value.hint
    assert caught.value.hint
    return caught.value.message.removeprefix(f"{path}: "), caught.value.hint


def changed(*changes: str) -> str:
    return 'extends = "2.6.21"\n' + "".join(f"[[change]]\n{change}\n" for change in changes)


# --- extends ------------------------------------------------------------------


def test_an_empty_extension_is_the_kernel_under_another_name(write) -> None:
    parent = load_kernel("2.6.21")
    kernel = load_kernel(write('extends = "2.6.21"'))
    assert kernel.name == "my"
    assert kernel.title == "2.6.21, changed by my.toml"
    for key in (
        "arch",
        "version",
        "steps",
        "fpu",
        "parks",
        "iopl",
        "nm_ops",
        "leave_mm_ops",
        "sources",
        "notes",
    ):
        assert getattr(kernel, key) == getattr(parent, key), key
    assert kernel.path.endswith("my.toml")


def test_a_step_moves_before_or_after_another(write) -> None:
    order = names(load_kernel("2.6.21"))
    after = names(load_kernel(write(changed('move = "set_iopl"\nafter = "leave_lazy_cpu"'))))
    order.remove("set_iopl")
    assert after == [
        step for name in order for step in ([name, "set_iopl"] if name == "leave_lazy_cpu" else [name])
    ]
    before = names(load_kernel(write(changed('move = "leave_lazy_cpu"\nbefore = "switch_mm_cr3"'))))
    assert before[:3] == ["enter_lazy_cpu", "leave_lazy_cpu", "switch_mm_cr3"]
    assert sorted(before) == sorted(names(load_kernel("2.6.21")))


def test_a_moved_step_keeps_its_guard_ops_and_source_and_says_it_moved(write) -> None:
    old = {step.name: step for step in load_kernel("2.6.21").steps}["set_iopl"]
    kernel = load_kernel(write(changed('move = "set_iopl"\nafter = "leave_lazy_cpu"')))
    new = {step.name: step for step in kernel.steps}["set_iopl"]
    assert (new.when, new.ops, new.source) == (old.when, old.ops, old.source)
    assert new.note == old.note + " (moved)"


def test_steps_are_added_dropped_reguarded_and_replaced_in_the_order_of_the_file(write) -> None:
    path = write(
        changed(
            'add = "scrub"\nops = ["scrub:RSB"]\nwhen = "mm_differs"\nafter = "load_tls"\nsource = "mine"',
            'drop = "disable_tsc"',
            'guard = "load_tls"\nwhen = "tls"',
            'replace = "unlazy_fpu"\nops = ["fpu_save", "set_ts"]',
            'move = "scrub"\nbefore = "load_tls"',
        )
    )
    kernel = load_kernel(path)
    steps = {step.name: step for step in kernel.steps}
    assert "disable_tsc" not in steps
    assert names(kernel).index("scrub") + 1 == names(kernel).index("load_tls")
    assert steps["scrub"].source == "mine"
    placed = [op.op for op in kernel.expand(ZERO | {"mm_differs": 1, "prev_fpu": 1})]
    assert "scrub" in placed
    assert "load_tls" not in placed
    assert placed[placed.index("fpu_save") :][:2] == ["fpu_save", "write_cr0"]
    assert "load_tls" in [op.op for op in kernel.expand(ZERO | {"tls": 2})]


def test_an_extension_overrides_single_keys_and_keeps_the_rest(write) -> None:
    kernel = load_kernel(
        write(
            'extends = "2.6.21"\nname = "mine"\ntitle = "t"\niopl = "never"\nparks = true\n'
            "[fpu]\neager_above = 9\n"
        )
    )
    assert (kernel.name, kernel.title, kernel.iopl, kernel.parks) == ("mine", "t", "never", True)
    assert kernel.fpu.eager_above == 9
    assert kernel.fpu.model == "lazy"
    assert kernel.version == (2, 6, 21)


def test_an_extension_may_extend_a_file_beside_it_wherever_it_is_read_from(
    write, monkeypatch, tmp_path
) -> None:
    write(changed('drop = "disable_tsc"'), "sub/one.toml")
    two = write('extends = "one.toml"\n[[change]]\ndrop = "set_iopl"\n', "sub/two.toml")
    monkeypatch.chdir(tmp_path)
    for spec in (two, "sub/two.toml"):
        assert {"disable_tsc", "set_iopl"} & set(names(load_kernel(spec))) == set()


def test_a_chain_that_goes_round_in_a_circle_ends_in_an_error(write) -> None:
    write('extends = "b.toml"', "a.toml")
    path = write('extends = "a.toml"', "b.toml")
    with pytest.raises(ConfigError, match="circle"):
        load_kernel(path)


def test_a_kernel_of_ones_own_needs_no_parent(write) -> None:
    path = write(
        'arch = "i386"\nversion = [9, 9]\niopl = "merged"\nuser_segment = "gs"\nparks = false\n'
        'irq_ignores_lazy = false\nlazy_mmu = false\nnm = []\nleave_mm = []\n[fpu]\nmodel = "none"\n'
        '[[step]]\nname = "only"\nops = ["load_esp0", "write_dr:7"]\n',
        "whole.toml",
    )
    kernel = load_kernel(path)
    assert kernel.name == "whole"
    assert not kernel.lazy_cpu
    assert [(op.op, op.operand) for op in kernel.expand(ZERO)] == [("load_sp0", ""), ("set_debugreg", "7")]


def test_the_iopl_option_wins_over_the_file(write) -> None:
    path = write('extends = "2.6.21"\niopl = "never"')
    assert load_kernel(path).iopl == "never"
    assert load_kernel(path, iopl="posted").iopl == "posted"


def test_an_iopl_policy_for_a_kernel_without_the_step_is_refused() -> None:
    assert load_kernel("6.1", iopl="never").iopl == "never"
    with pytest.raises(UsageError, match=r"kernel 6\.1 has no step"):
        load_kernel("6.1", iopl="posted")
    with pytest.raises(ConfigError, match="--iopl: found 'always'") as caught:
        load_kernel("2.6.21", iopl="always")
    assert caught.value.hint == "Allowed: posted, merged, never."


def test_a_selector_value_reaches_the_machine_as_part_of_the_operand(write) -> None:
    path = write(changed('add = "null_gs"\nops = ["loadsegment:gs=0"]\nbefore = "load_tls"'))
    placed = load_kernel(path).expand(ZERO)
    assert ("null_gs", "loadsegment", "gs=0", "true") in placed


# --- errors -------------------------------------------------------------------


def test_an_unknown_kernel_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        load_kernel("2.6.22")
    assert caught.value.message == "unknown kernel '2.6.22'"
    for name in builtin_kernels():
        assert name in caught.value.hint


def test_a_missing_file_a_folder_and_a_binary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_kernel(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="is a directory"):
        load_kernel(str(tmp_path))
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"a = 1\n\xff\xfe")
    message, _ = refused(str(binary))
    assert message == "offset 6: not UTF-8 text"
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * ((1 << 20) + 1))
    assert "not a kernel file" in refused(str(big))[0]


def test_a_syntax_error_tells_line_and_column(write) -> None:
    message, _ = refused(write('extends = "2.6.21"\nname = \n'))
    assert "line 2" in message


def test_an_unknown_key_is_named_with_those_allowed_there(write) -> None:
    message, hint = refused(write('extends = "2.6.21"\nioplpolicy = "posted"'))
    assert message == "ioplpolicy: unknown key"
    assert "iopl" in hint
    message, hint = refused(write(changed('move = "set_iopl"\nbehind = "load_tls"')))
    assert message == "change[0].behind: unknown key"
    assert hint == ("Allowed here: move, add, drop, guard, replace, before, after, when, ops, source, note.")
    message, hint = refused(write('extends = "2.6.21"\n[fpu]\neager = 3'))
    assert message == "fpu.eager: unknown key"
    assert "eager_above" in hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parks = 1", "parks: expected `bool | null`, got `int`, found 1"),
        ('version = "2.6"', "version: expected `array | null`, got `str`, found '2.6'"),
        ('[[change]]\nmove = 3\nafter = "x"', "change[0].move: expected `str | null`, got `int`, found 3"),
        ("nm = [1]", "nm[0]: expected `str`, got `int`, found 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_was_expected(write, text: str, message: str) -> None:
    assert refused(write(f'extends = "2.6.21"\n{text}'))[0] == message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('iopl = "often"', "iopl: found 'often'", "Allowed: posted, merged, never."),
        ('arch = "arm"', "arch: found 'arm'", "Allowed: i386, x86-64."),
        ('user_segment = "ds"', "user_segment: found 'ds'", "Allowed: fs, gs."),
        ('[fpu]\nmodel = "eager"', "fpu.model: found 'eager'", "Allowed: lazy, none."),
        ("[fpu]\neager_above = 256", "fpu.eager_above: found 256, expected 0 to 255", ""),
        ("version = []", "version: found [], expected numbers like [2, 6, 21]", ""),
        ("version = [-1]", "version: found [-1], expected numbers like [2, 6, 21]", ""),
        ('[[step]]\nname = "x"', "step: a file with extends changes steps with [[change]]", ""),
        ('nm = ["clt"]', "nm: 'clt': no op of that name", ""),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_those_that_are(write, text, message, hint) -> None:
    found, found_hint = refused(write(f'extends = "2.6.21"\n{text}'))
    assert found == message
    assert found_hint == hint or not hint


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ('move = "set_iopl"', "change[0]: move needs a place: before or after a step, one of the two", ""),
        (
            'move = "set_iopl"\nbefore = "load_tls"\nafter = "load_tls"',
            "change[0]: move needs a place: before or after a step, one of the two",
            "",
        ),
        ('move = "iopl"\nafter = "load_tls"', "change[0].move: no step 'iopl'", "Steps: enter_lazy_cpu, "),
        ('move = "set_iopl"\nafter = "leave"', "change[0].after: no step 'leave'", "Steps: enter_lazy_cpu, "),
        (
            'move = "set_iopl"\nbefore = "leave"',
            "change[0].before: no step 'leave'",
            "Steps: enter_lazy_cpu, ",
        ),
        (
            'move = "set_iopl"\nafter = "set_iopl"',
            "change[0].move: 'set_iopl' cannot be moved next to itself",
            "",
        ),
        ('drop = "nothing"', "change[0].drop: no step 'nothing'", "Steps: enter_lazy_cpu, "),
        (
            'drop = "set_iopl"\nafter = "load_tls"',
            "change[0].after: does not go with drop",
            "Allowed with it: ",
        ),
        (
            'move = "set_iopl"\ndrop = "set_iopl"',
            "change[0]: needs one verb, found move and drop",
            "Allowed: move,",
        ),
        ('after = "load_tls"', "change[0]: needs one verb, found none", "Allowed: move,"),
        (
            'add = "load_tls"\nops = []\nafter = "load_tls"',
            "change[0].add: there is a step 'load_tls' already",
            "",
        ),
        ('add = "x"\nafter = "load_tls"', "change[0].ops: the key is missing, add needs it", ""),
        ('guard = "load_tls"', "change[0].when: the key is missing, guard needs it", ""),
        (
            'guard = "load_tls"\nwhen = "mm_difers"',
            "change[0].when: unknown name 'mm_difers'",
            "Did you mean mm_differs? ",
        ),
        (
            'guard = "load_tls"\nwhen = "1"',
            "change[0].when: '1' is not allowed in a guard",
            "A guard is names",
        ),
        (
            'replace = "load_tls"\nops = ["load_tsl"]',
            "change[0].ops: 'load_tsl': no op of that name",
            "Did you mean ",
        ),
        (
            'replace = "load_tls"\nops = ["set_debugreg:9"]',
            "change[0].ops: 'set_debugreg:9': operand '9'",
            "Expected one of: ",
        ),
        (
            'replace = "load_tls"\nops = ["write cr3"]',
            "change[0].ops: found 'write cr3', expected an op's name",
            "",
        ),
        ('replace = "load_tls"\nops = ["begin"]', "change[0].ops: found 'begin'; the switch window", ""),
    ],
)
def test_a_change_that_cannot_be_made_names_its_key_and_what_is_allowed(write, change, message, hint) -> None:
    found, found_hint = refused(write(changed(change)))
    assert found.startswith(message)
    assert found_hint.startswith(hint)


def test_the_number_in_an_error_is_that_of_the_change(write) -> None:
    message, _ = refused(write(changed('drop = "disable_tsc"', 'drop = "disable_tsc"')))
    assert message == "change[1].drop: no step 'disable_tsc'"


def test_changes_without_a_parent_and_files_with_keys_missing_are_refused(write) -> None:
    message, _ = refused(write('[[change]]\ndrop = "x"'))
    assert message == 'change: no kernel to change; add extends = "2.6.21"'
    message, hint = refused(write('arch = "i386"'))
    assert message == "iopl: the key is missing"
    assert hint == "A file without extends gives every key."
    message, _ = refused(write('extends = "2.6.99"'))
    assert message == "extends: unknown kernel '2.6.99'"


def test_steps_of_a_whole_file_are_checked_with_their_place_and_name(write) -> None:
    head = (
        'arch = "i386"\nversion = [9]\niopl = "never"\nuser_segment = "gs"\nparks = false\n'
        'irq_ignores_lazy = false\nlazy_mmu = false\nnm = []\nleave_mm = []\n[fpu]\nmodel = "none"\n'
    )
    message, _ = refused(write(head))
    assert message == "step: a kernel needs at least one [[step]]"
    first = '[[step]]\nname = "one"\nops = ["load_tls"]\n'
    assert refused(write(head + first + first))[0].startswith(
        "step[1] (one): a step of this name came before"
    )
    bad = '[[step]]\nname = "two"\nwhen = "never"\n'
    assert refused(write(head + first + bad))[0] == "step[1] (two): when: unknown name 'never'"
    bad = '[[step]]\nname = "two"\nops = ["nope"]\n'
    assert refused(write(head + first + bad))[0] == "step[1] (two): ops: 'nope': no op of that name"
    assert refused(write(head + "[[step]]\nops = []\n"))[0].startswith(
        "step[0]: object missing required field"
    )


# --- the page -----------------------------------------------------------------


def test_the_page_on_kernel_files_names_every_key_and_every_guard_name() -> None:
    from pvreplay.kernels import schema
    from pvreplay.kernels.guard import CONSTANTS, NAMES

    page = (Path(__file__).parent.parent / "docs" / "kernel-files.md").read_text()
    keys = {
        key
        for table in (schema.KernelFile, schema.FpuFile, schema.StepFile, schema.ChangeFile)
        for key in table.__struct_fields__
    }
    for word in {*keys, *NAMES, *CONSTANTS, "iopl_policy"} - {"fpu", "step", "change"}:
        assert f"`{word}`" in page, word


def test_the_example_of_the_page_on_kernel_files_works(write) -> None:
    page = (Path(__file__).parent.parent / "docs" / "kernel-files.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    kernel = load_kernel(write(example))
    order = names(kernel)
    assert order.index("set_iopl") == order.index("leave_lazy_cpu") + 1
    assert kernel.title == "IOPL after the batch"
