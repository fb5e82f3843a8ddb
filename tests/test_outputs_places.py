"""Where a violation stands in its file: lines, bytes, recordings, and what cannot be placed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvreplay.cli.formats import base_context
from pvreplay.cli.places import find_lines, find_places
from pvreplay.replay.result import First, Violation
from pvreplay.report.context import Context, Place, Spot
from tests.cli_helpers import PINGPONG, pvreplay
from tests.report_samples import violation

OPS = """\
# pvreplay trace 1
level op
cpus 2
# two CPUs, one order each
task 1 comm=prev mm=1
task 2 comm=next mm=2

on 0 1
0.000001000 0 begin 2
0.000001005 1 begin 1
0.000001010 0 op enter_lazy_cpu
0.000001010 1 op enter_lazy_cpu
# a comment between
0.000001050 0 op load_tls
0.000001060 0 op loadsegment:fs
0.000001065 0 op leave_lazy_cpu
0.000001070 1 op leave_lazy_cpu
0.000001090 0 op set_current
0.000001091 1 op set_current
0.000001100 0 end
0.000001110 1 end
"""

FTRACE = """\
# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
            make-101     [000] d..2.   178.813630: sched_switch: prev_comm=make prev_pid=101 \
prev_prio=120 prev_state=S ==> next_comm=cc1 next_pid=102 next_prio=120
          [001] x-103     [001] d..2.   178.813631: sched_switch: prev_comm=[001] x prev_pid=103 \
prev_prio=120 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120
             cc1-102     [000] d..2.   178.813631: sched_switch: prev_comm=cc1 prev_pid=102 \
prev_prio=120 prev_state=S ==> next_comm=make next_pid=101 next_prio=120
"""


def seen(event: int, time_ns: int = 0, cpu: int = 0, **changes: object) -> Violation:
    """A violation first seen at *event*."""
    first = First(event=event, time_ns=time_ns, cpu=cpu, prev="a", next="b")
    return violation(first=first, **changes)


def places(path: Path, *violations: Violation) -> list[Place]:
    """The place of each violation; those that have none are left out."""
    found = find_places(str(path), violations, {})
    return [found[spot] for spot in (Spot.of(str(path), one) for one in violations) if spot in found]


def test_a_switch_is_found_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)
    assert places(path, seen(0), seen(22)) == [Place(6), Place(28)]
    assert PINGPONG.splitlines()[27].startswith("0.000000022")


def test_in_a_trace_of_ops_the_op_at_fault_is_found_across_other_cpus(tmp_path: Path) -> None:
    path = tmp_path / "ops.txt"
    path.write_text(OPS)
    (place,) = places(path, seen(0, step=3, op="loadsegment:fs"))
    assert OPS.splitlines()[place.line - 1] == "0.000001060 0 op loadsegment:fs"
    (place,) = places(path, seen(1, cpu=1, step=3, op="set_current"))
    assert OPS.splitlines()[place.line - 1] == "0.000001091 1 op set_current"


def test_a_step_that_is_another_op_falls_back_to_the_start_of_the_sequence(tmp_path: Path) -> None:
    path = tmp_path / "ops.txt"
    path.write_text(OPS)
    for step in (2, 40):
        (place,) = places(path, seen(0, step=step, op="loadsegment:fs"))
        assert OPS.splitlines()[place.line - 1] == "0.000001000 0 begin 2"


def test_in_trace_bin_the_byte_of_the_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(PINGPONG)
    assert pvreplay("convert", tmp_path / "t.txt", tmp_path / "t.bin").code == 0
    (place,) = places(tmp_path / "t.bin", seen(5))
    assert place.line == 1 and place.byte_offset is not None
    record = (tmp_path / "t.bin").read_bytes()[place.byte_offset :][:16]
    assert int.from_bytes(record[:8], "little") == 5


def test_in_a_recording_the_line_has_the_time_and_the_cpu_of_the_event(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(FTRACE)
    assert places(path, seen(0, 178_813_630_000, 0)) == [Place(5)]
    assert places(path, seen(2, 178_813_631_000, 0)) == [Place(7)]
    assert places(path, seen(1, 178_813_631_000, 1)) == [Place(6)]
    assert places(path, seen(9, 178_813_699_000, 1)) == []


def test_standard_input_and_violations_without_a_place_are_left_out(tmp_path: Path) -> None:
    assert find_places("-", [seen(0)], {}) == {}
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)
    assert find_places(str(path), [violation(first=None)], {}) == {}


def test_names_in_a_kernels_file_are_found_at_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        'extends = "2.6.21"\n# "set_iopl"\n[[change]]\nmove = "set_iopl"\nafter = \'load_esp0\'\n'
    )
    found = find_lines(str(path))
    assert found[str(path), "set_iopl"] == 4 and found[str(path), "load_esp0"] == 5
    assert find_lines(str(tmp_path / "none.toml")) == {} and find_lines(str(tmp_path)) == {}


@pytest.mark.parametrize(
    ("path", "inside", "file"),
    [
        ("t.bin", "sub/t.bin", "sub/t.bin"),
        ("../t.bin", "t.bin", "t.bin"),
        ("/repo/a/t.bin", "a/t.bin", "a/t.bin"),
        ("/repository/t.bin", "", "t.bin"),
        ("../../t.bin", "", "t.bin"),
        ("-", "", "stdin"),
        ("", "", "stdin"),
    ],
)
def test_paths_are_told_from_the_root_of_the_repository(path: str, inside: str, file: str) -> None:
    context = Context(base="/repo", cwd="/repo/sub")
    assert (context.inside(path), context.file(path)) == (inside, file)


@pytest.mark.parametrize("variable", ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"])
def test_the_root_is_what_the_host_says_and_else_where_we_are(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.delenv("CI_PROJECT_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert base_context().base == base_context().cwd == str(tmp_path.resolve())
    monkeypatch.setenv(variable, "/")
    assert base_context().inside("t.bin") == str(tmp_path.resolve() / "t.bin")[1:]
