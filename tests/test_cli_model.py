"""``pvreplay rule`` and ``pvreplay backends``: the model explains itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pvreplay.backends.reader import builtin_backends
from pvreplay.rules import TABLE, get_rule
from tests.cli_helpers import pvreplay, two_lines


def test_every_rule_is_listed_with_its_name_and_severity() -> None:
    done = pvreplay("rule")
    assert done.code == 0 and all(len(line) <= 80 for line in done.out.splitlines())
    for code in TABLE:
        rule = get_rule(code)
        assert any(
            line.startswith(f"{rule.code} ") and rule.name in line and rule.severity in line
            for line in done.out.splitlines()
        )


@pytest.mark.parametrize("code", list(TABLE))
def test_a_rule_prints_its_page_by_code_and_by_name_with_no_line_cut(code: str) -> None:
    rule = get_rule(code)
    page = pvreplay("rule", code)
    assert page.code == 0 and page.out == rule.doc.rstrip("\n") + "\n"
    assert pvreplay("rule", code.lower()) == pvreplay("rule", rule.name) == page


def test_an_unknown_rule_names_the_rules_there_are() -> None:
    done = pvreplay("rule", "Z9")
    assert done.code == 2 and two_lines(done.err) and "H1" in done.err


def test_every_backend_is_listed_and_every_baseline_says_what_it_is() -> None:
    done = pvreplay("backends")
    assert done.code == 0 and all(len(line) <= 80 for line in done.out.splitlines())
    lines = done.out.splitlines()
    for name in builtin_backends():
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert ("lazy modes are" in line) == (name.endswith(("-unbatched", "-nolazy")))


@pytest.mark.parametrize("name", builtin_backends())
def test_a_backend_shows_its_ops_with_their_sources(name: str) -> None:
    done = pvreplay("backends", "--show", name)
    assert done.code == 0 and done.out.startswith(f"{name}: ")
    assert "every other op" in done.out and "sources" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_the_rows_shown_are_those_of_the_kernel_asked_for() -> None:
    old, new = (
        json.loads(pvreplay("backends", "--show", "xen", "-k", kernel, "-f", "json").out)["backends"][0]
        for kernel in ("2.6.24", "2.6.35")
    )
    assert old["rows_version"] != new["rows_version"] and old["ops"] != new["ops"]


def test_the_json_holds_every_backend() -> None:
    document = json.loads(pvreplay("backends", "-f", "json").out)
    assert document["schema"] == "pvreplay.backends/1"
    assert [backend["name"] for backend in document["backends"]] == builtin_backends()


def test_a_file_of_ones_own_is_checked_by_showing_it(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text('extends = "xen"\nname = "box"\n')
    assert pvreplay("backends", "--show", tmp_path / "good.toml").code == 0
    (tmp_path / "bad.toml").write_text('extends = "xen"\n[[op]]\nname = "write_cr3"\ndoes = "magic"\n')
    done = pvreplay("backends", "--show", tmp_path / "bad.toml")
    assert done.code == 2 and two_lines(done.err) and "bad.toml" in done.err


def test_an_unknown_backend_names_those_there_are() -> None:
    done = pvreplay("backends", "--show", "hyperv")
    assert done.code == 2 and two_lines(done.err) and "xen" in done.err


def test_what_is_assumed_of_a_backend_is_listed_with_what_else_there_is() -> None:
    out = " ".join(pvreplay("backends", "--show", "vmi").out.split())
    assert "deferred in lazy CPU mode: SetCR3, UpdateKernelStack," in out
    assert "other profiles: vmi:spec2006, vmi:nothing-queued, vmi:hvm-ident" in out
    assert "entering a lazy mode crosses (enter_crosses): no" in out
    (ident,) = json.loads(pvreplay("backends", "--show", "vmi:hvm-ident", "-f", "json").out)["backends"]
    assert ident["settings"]["kernel_rpl"] == 0 and ident["settings"]["implicit"] == ["EFLAGS.IOPL"]
    assert "kernel_rpl 1" in pvreplay("backends", "--show", "xen").out
