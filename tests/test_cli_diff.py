"""``pvreplay diff``: every kind of side, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli_helpers import LEAVE_LATE, PINGPONG, WITH_TLS, pvreplay, two_lines


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two traces and a kernel of one's own, made the current one."""
    (tmp_path / "t.txt").write_text(PINGPONG)
    (tmp_path / "tls.txt").write_text(WITH_TLS)
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    (tmp_path / "copy.toml").write_text('extends = "2.6.21"\n')
    (tmp_path / "box.toml").write_text('extends = "xen"\nname = "box"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_json(*args: str) -> dict:
    done = pvreplay("diff", *args, "--format", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def hypercalls(document: dict) -> list[tuple[float, float]]:
    return [
        (pair["metrics"]["hypercalls"]["a"], pair["metrics"]["hypercalls"]["b"]) for pair in document["pairs"]
    ]


def test_two_backends_are_compared_on_one_trace(folder: Path) -> None:
    assert hypercalls(as_json("xen-unbatched", "vs", "xen", "t.txt")) == [(115, 23)]


def test_the_word_vs_is_optional(folder: Path) -> None:
    assert as_json("native", "vmi", "t.txt") == as_json("native", "vs", "vmi", "t.txt")


def test_without_a_trace_the_shipped_recording_is_used_and_named(folder: Path) -> None:
    document = as_json("native", "vs", "vmi")
    assert document["pairs"][0]["a"]["switches"] > 0
    assert any("installed with pvreplay" in note for note in document["notes"])


def test_two_kernels_are_compared_on_every_backend(folder: Path) -> None:
    document = as_json("2.6.20", "vs", "2.6.21", "t.txt")
    by_backend = {pair["a"]["backend"]: pair for pair in document["pairs"]}
    assert {"native", "vmi", "xen"} <= by_backend.keys() and "xen-unbatched" not in by_backend
    xen = by_backend["xen"]
    assert (xen["metrics"]["hypercalls"]["a"], xen["metrics"]["hypercalls"]["b"]) == (69, 23)
    assert (xen["a"]["label"], xen["b"]["label"]) == ("2.6.20", "2.6.21")
    assert by_backend["native"]["equal"]


def test_a_kernel_beside_a_backend_is_meant_for_both_unless_each_has_its_own(folder: Path) -> None:
    assert hypercalls(as_json("xen@2.6.20", "vs", "xen@2.6.21", "t.txt")) == [(69, 23)]
    document = as_json("native@2.6.20", "vs", "xen", "t.txt")
    assert document["pairs"][0]["b"]["kernel"] == "2.6.20" and hypercalls(document) == [(0, 69)]


def test_a_kernel_file_breaks_a_rule_on_its_side_only(folder: Path) -> None:
    document = as_json("2.6.21", "vs", "late.toml", "tls.txt", "--backend", "vmi")
    (pair,) = document["pairs"]
    assert [found["rule"] for found in pair["only_b"]] == ["H1"] and pair["only_a"] == []
    assert not document["equal"]


def test_a_rule_silent_on_native_is_called_batching_induced(folder: Path) -> None:
    (pair,) = as_json("native", "vs", "vmi", "tls.txt", "--kernel", "late.toml")["pairs"]
    assert pair["batching_induced"] == ["H1"]
    assert "batching-induced" in pvreplay("diff", "native@late.toml", "vs", "vmi", "tls.txt").out


def test_a_backend_file_is_told_from_a_kernel_file_by_its_content(folder: Path) -> None:
    assert as_json("xen", "vs", "box.toml", "t.txt")["equal"]
    assert as_json("2.6.21", "vs", "copy.toml", "t.txt")["equal"]
    assert hypercalls(as_json("box.toml@2.6.20", "vs", "xen@copy.toml", "t.txt")) == [(69, 23)]


def test_two_traces_are_compared_on_every_backend(folder: Path) -> None:
    document = as_json("t.txt", "vs", "tls.txt", "-b", "xen")
    assert hypercalls(document) == [(23, 2)]
    assert [document["pairs"][0][side]["label"] for side in "ab"] == ["t.txt", "tls.txt"]


def test_two_saved_reports_are_compared_without_their_traces(folder: Path) -> None:
    assert pvreplay("run", "t.txt", "-f", "json", "-k", "2.6.20", "-o", "a.json").code == 0
    assert pvreplay("run", "t.txt", "-f", "json", "-o", "b.json").code == 0
    (folder / "t.txt").unlink()
    assert (69, 23) in hypercalls(as_json("a.json", "vs", "b.json"))
    assert as_json("a.json", "a.json")["equal"]


def test_a_trace_is_compared_with_the_report_that_was_saved_of_it(folder: Path) -> None:
    assert pvreplay("run", "t.txt", "-f", "json", "-k", "2.6.20", "-b", "xen", "-o", "a.json").code == 0
    document = as_json("a.json", "vs", "t.txt")
    assert document["equal"] and hypercalls(document) == [(69, 69)]
    assert any("2.6.20" in note for note in document["notes"])


def test_the_exit_code_tells_a_difference_only_when_asked_to(folder: Path) -> None:
    assert pvreplay("diff", "native", "vmi", "t.txt").code == 0
    assert pvreplay("diff", "native", "vmi", "t.txt", "--exit-code").code == 1
    assert pvreplay("diff", "vmi", "vmi", "t.txt", "--exit-code").code == 0


def test_the_text_says_what_makes_the_difference(folder: Path) -> None:
    done = pvreplay("diff", "2.6.20", "vs", "2.6.21", "t.txt")
    assert done.code == 0 and "hypercall -> queued" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_output_goes_to_a_file(folder: Path) -> None:
    assert pvreplay("diff", "native", "vmi", "t.txt", "-f", "json", "-o", "d.json").out == ""
    assert json.loads((folder / "d.json").read_text())["schema"] == "pvreplay.diff/1"


@pytest.mark.parametrize(
    "args",
    [
        ["native"],
        ["native", "vs"],
        ["native", "vs", "vmi", "t.txt", "more"],
        ["native", "vs", "nosuch"],
        ["xen@nosuch", "vs", "xen"],
        ["nosuch@2.6.21", "vs", "xen"],
        ["xen", "vs", "2.6.20", "t.txt"],
        ["xen", "vs", "tls.txt"],
        ["t.txt", "vs", "tls.txt", "t.txt"],
        ["2.6.20", "vs", "2.6.21", "-"],
        ["native", "vs", "vmi", "missing.txt"],
    ],
)
def test_what_cannot_be_compared_is_two_lines_and_exit_2(folder: Path, args: list[str]) -> None:
    done = pvreplay("diff", *args)
    assert done.code == 2 and two_lines(done.err) and done.out == ""


def test_a_json_file_that_is_no_report_is_refused(folder: Path) -> None:
    (folder / "x.json").write_text('{"schema": "pvreplay.report/2"}')
    done = pvreplay("diff", "x.json", "vs", "t.txt")
    assert done.code == 2 and two_lines(done.err)
    assert "schema 'pvreplay.report/2', pvreplay.report/1 is read here" in done.err
    (folder / "x.json").write_text('{"schema": "pvreplay.report/1"}')
    assert "x.json: Object missing" in pvreplay("diff", "x.json", "vs", "t.txt").err


def test_a_side_that_was_forgotten_after_vs_is_told_as_that(folder: Path) -> None:
    assert "expected two sides" in pvreplay("diff", "native", "vs").err
