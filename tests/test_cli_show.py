"""``pvreplay show``: every way to name a switch, both forms, and what it says when there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pvreplay.replay.locate import TaskThen
from pvreplay.replay.walk import Broken, WalkStep
from pvreplay.report import show_json
from tests.cli_helpers import LEAVE_LATE, NO_SWITCH, PINGPONG, WITH_TLS, pvreplay, two_lines
from tests.report_samples import HOSTILE

SECTION = """\
# pvreplay trace 1
cpus 1
task 1 comm=a pid=7 mm=1
task 2 comm=b pid=8 mm=2
on 0 1
0.000000001 0 enter_mmu
0.000000002 0 set_pte 40
0.000000003 0 switch 2
0.000000004 0 leave_mmu
"""
PAGE = Path(__file__).parent.parent / "docs" / "show-json.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with traces and a kernel of one's own, made the current one."""
    (tmp_path / "t.txt").write_text(PINGPONG)
    (tmp_path / "tls.txt").write_text(WITH_TLS)
    (tmp_path / "section.txt").write_text(SECTION)
    (tmp_path / "none.txt").write_text(NO_SWITCH)
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_json(*args: str) -> dict[str, Any]:
    done = pvreplay("show", *args, "--format", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_switch_is_named_by_number_from_zero(folder: Path) -> None:
    for number in (0, 22):
        unit = as_json("t.txt", "--switch", str(number))["unit"]
        assert (unit["type"], unit["number"], unit["event"], unit["time_ns"]) == (
            "switch",
            number,
            number,
            number,
        )


def test_a_switch_is_named_by_time_to_the_nanosecond(folder: Path) -> None:
    for time, number in (("0", 0), ("0.000000007", 7), (".00000001", 10), ("0.0000000001"[:11], 0)):
        assert as_json("t.txt", "--at", time)["unit"]["number"] == number


def test_a_switch_is_named_by_its_task(folder: Path) -> None:
    assert as_json("t.txt", "--task", "pong")["unit"]["number"] == 0
    assert as_json("section.txt", "--task", "8")["unit"]["next"] == "b-8"


def test_a_violation_is_named_by_number_or_code_and_shown_on_a_backend_it_breaks(folder: Path) -> None:
    run = json.loads(pvreplay("run", "tls.txt", "-k", "late.toml", "-f", "json").out)
    first = run["violations"][0]
    assert first["rule"] == "H1"
    for asked in ("1", "H1", "raw-queued"):
        shown = as_json("tls.txt", "--violation", asked, "-k", "late.toml")
        assert shown["violation"]["violation"]["rule"] == "H1"
        assert (shown["violation"]["number"], shown["violation"]["of"]) == (1, len(run["violations"]))
        assert shown["unit"]["event"] == first["first"]["event"]
        (backend,) = shown["backends"]
        assert backend["name"] in first["backends"]
        (broken,) = (step for step in backend["steps"] if any(b["rule"] == "H1" for b in step["broken"]))
        assert (broken["index"], broken["op"]) == (first["step"], first["op"])


def test_the_text_marks_the_step_that_breaks_a_rule_and_says_what_to_do(folder: Path) -> None:
    out = pvreplay("show", "tls.txt", "--violation", "1", "-k", "late.toml").out
    lines = out.splitlines()
    (mark,) = (n for n, line in enumerate(lines) if "<-- H1 raw-queued" in line)
    at_fault = next(line for line in reversed(lines[:mark]) if line.split()[0].isdigit())
    assert "loadsegment:gs" in at_fault
    assert "pvreplay rule H1" in out


def test_the_text_tells_step_guard_op_queue_pending_and_cost(folder: Path) -> None:
    out = pvreplay("show", "t.txt", "--switch", "0").out
    assert "switch_mm_cr3: mm_differs or lazy_tlb_reload: mm_differs" in out
    (cr3,) = (line.split() for line in out.splitlines() if " write_cr3 " in line)
    # number, op, what it became, queue, hypercalls, entries, traps so far, pending
    assert cr3[1:] == ["write_cr3", "queued", "1", "0", "1", "0", "CR3"]
    assert "flush by leave_cpu: 1 hypercall carries" in out


def test_skipped_steps_and_why_are_shown_when_asked_for(folder: Path) -> None:
    brief, full = (pvreplay("show", "t.txt", "--switch", "1", *more).out for more in ((), ("-v",)))
    assert "skipped" not in brief.replace("of the path skipped; -v", "")
    assert "set_iopl: skipped, not iopl_differs (iopl_differs and kernel_rpl)" in full


def test_two_backends_stand_side_by_side_and_below_each_other_when_too_wide(folder: Path) -> None:
    out = pvreplay("show", "t.txt", "--switch", "1", "--vs", "vmi").out
    (cr3,) = (line for line in out.splitlines() if " write_cr3 " in line)
    assert cr3.count("queued") == 2
    (folder / "wide.txt").write_text(SECTION.replace("40", "4000000000"))
    out = pvreplay("show", "wide.txt", "--switch", "0", "--vs", "xen-unbatched").out
    assert sum(" set_pte x4,000,000,000 " in line for line in out.splitlines()) == 2
    assert max(map(len, out.splitlines())) <= 80


def test_a_switch_inside_a_section_is_shown_with_all_of_it(folder: Path) -> None:
    shown = as_json("section.txt", "--switch", "0")
    assert (shown["unit"]["type"], shown["unit"]["began"], shown["unit"]["ordinal"]) == ("sequence", 0, 0)
    ops = [step["op"] for step in shown["backends"][0]["steps"] if step["index"] is not None]
    assert ops[:3] == ["enter_lazy_mmu", "set_pte", "begin"] and ops[-1] == "leave_lazy_mmu"
    # from 2.6.31 the section is parked, and the switch stands for itself
    assert as_json("section.txt", "--switch", "0", "-k", "2.6.31")["unit"]["type"] == "switch"


def test_the_shipped_recording_is_shown_when_no_trace_is_named(folder: Path) -> None:
    done = pvreplay("show", "--switch", "400")
    assert done.code == 0 and "installed with pvreplay" in done.out


def test_a_trace_on_standard_input_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in (["--switch", "2"], ["--violation", "1"]):
        with open("t.txt", "rb") as file:
            monkeypatch.setattr("sys.stdin", msgspec_stdin(file))
            assert pvreplay("show", "-", *asked).code == 0


def msgspec_stdin(file: Any) -> Any:
    """*file* as a text stream over its bytes, as the interpreter's standard input is."""
    import io

    return io.TextIOWrapper(file)


@pytest.mark.parametrize("more", [[], ["-v"], ["--vs", "vmi"], ["--vs", "lguest", "-v"]])
@pytest.mark.parametrize("trace", ["t.txt", "tls.txt", "section.txt"])
def test_no_line_is_wider_than_eighty_columns_and_ascii_is_ascii(
    folder: Path, trace: str, more: list[str]
) -> None:
    out = pvreplay("show", trace, "--switch", "0", "-k", "late.toml", "--ascii", *more).out
    assert max(map(len, out.splitlines())) <= 80
    assert all(char == "\n" or " " <= char <= "~" for char in out)


def test_hostile_names_reach_no_terminal(folder: Path) -> None:
    from pvreplay.trace.quote import quote

    (folder / "evil.txt").write_text(PINGPONG.replace("comm=pong", f"comm={quote(HOSTILE[:15])}"))
    for form in ("text", "json"):
        out = pvreplay("show", "evil.txt", "--switch", "0", "-f", form).out
        assert "pong" not in out
        assert all(char == "\n" or char.isprintable() for char in out)


def test_json_is_what_the_page_says() -> None:
    page = PAGE.read_text()
    structs = [
        show_json.Document,
        show_json.UnitDoc,
        show_json.BackendDoc,
        show_json.ViolationDoc,
        WalkStep,
        Broken,
        TaskThen,
    ]
    for struct in structs:
        for field in msgspec.structs.fields(struct):
            assert f"`{field.encode_name}`" in page, f"{struct.__name__}.{field.name}"


def test_output_goes_to_a_file(folder: Path) -> None:
    assert pvreplay("show", "t.txt", "--switch", "1", "-o", "s.txt").out == ""
    assert "switch 1, counted from 0" in (folder / "s.txt").read_text()


@pytest.mark.parametrize(
    "args",
    [
        ["t.txt"],
        ["t.txt", "--switch", "0", "--at", "0"],
        ["t.txt", "--switch", "-1"],
        ["t.txt", "--switch", "23"],
        ["t.txt", "--at", "1"],
        ["t.txt", "--at", "soon"],
        ["t.txt", "--at", "0.0000000001"],
        ["t.txt", "--task", "nobody"],
        ["t.txt", "--violation", "0"],
        ["t.txt", "--violation", "99"],
        ["t.txt", "--violation", "P1"],
        ["t.txt", "--violation", "nosuch"],
        ["t.txt", "--switch", "0", "-b", "nosuch"],
        ["t.txt", "--switch", "0", "--vs", "nosuch"],
        ["missing.txt", "--switch", "0"],
    ],
)
def test_what_cannot_be_shown_is_two_lines_and_exit_2(folder: Path, args: list[str]) -> None:
    done = pvreplay("show", *args)
    assert done.code == 2 and two_lines(done.err) and done.out == ""


def test_a_trace_without_a_switch_is_exit_3(folder: Path) -> None:
    done = pvreplay("show", "none.txt", "--switch", "0")
    assert done.code == 3 and two_lines(done.err)


def test_a_number_out_of_range_tells_how_many_there_are(folder: Path) -> None:
    err = pvreplay("show", "t.txt", "--switch", "23").err
    assert "there are 23" in err and "0 to 22" in err


def test_a_damaged_trace_shows_what_it_holds_and_exits_3_unless_lenient(folder: Path) -> None:
    assert pvreplay("synth", "pingpong", "-n", "20000", "-o", "t.bin").code == 0
    whole = (folder / "t.bin").read_bytes()
    (folder / "cut.bin").write_bytes(whole[: len(whole) // 2])
    done = pvreplay("show", "cut.bin", "--violation", "1")
    assert done.code == 3 and two_lines(done.err) and "violation 1 of" in done.out
    assert pvreplay("show", "cut.bin", "--violation", "1", "--lenient").code == 0
    missing = pvreplay("show", "cut.bin", "--switch", "19999")
    assert missing.code == 3 and "what can be read" in missing.err
    assert pvreplay("show", "cut.bin", "--switch", "0").code == 0
