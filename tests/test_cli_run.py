"""``pvreplay run``: what it prints, what it returns, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pvreplay.backends.reader import builtin_backends
from pvreplay.cli import options
from pvreplay.machine.policy import POLICIES
from tests.cli_helpers import LEAVE_LATE, NO_SWITCH, PINGPONG, WITH_TLS, pvreplay, two_lines


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The known workload as a text trace."""
    path = tmp_path / "pingpong.txt"
    path.write_text(PINGPONG)
    return path


def as_json(*args: str | Path) -> dict:
    done = pvreplay("run", *args, "--format", "json")
    assert done.code in (0, 1), done.err
    return json.loads(done.out)


def test_every_built_in_backend_is_priced_by_default(trace: Path) -> None:
    report = as_json(trace)
    assert [backend["name"] for backend in report["backends"]] == builtin_backends()
    assert report["kernel"] == "2.6.21" and report["trace"]["switches"] == 23
    assert report["trace"]["path"] == str(trace)


def test_the_known_workload_comes_out_as_known(trace: Path) -> None:
    """Xen, batched: one hypercall a switch; unbatched, five entries each (CR3, esp0, three TLS words)."""
    backends = {backend["name"]: backend for backend in as_json(trace)["backends"]}
    assert backends["xen"]["hypercalls"] == 23 and backends["xen"]["histogram"] == {"1": 23}
    assert backends["xen"]["entries"] == 23 * 5
    assert backends["xen"]["unbatched_hypercalls"] == backends["xen-unbatched"]["hypercalls"] == 23 * 5
    assert backends["native"]["hypercalls"] == 0


def test_only_the_backends_asked_for_are_in_the_report_and_still_compared_with_unbatched(trace: Path) -> None:
    report = as_json(trace, "--backend", "xen", "-b", "native", "-b", "xen")
    assert [backend["name"] for backend in report["backends"]] == ["xen", "native"]
    assert report["backends"][0]["unbatched_hypercalls"] == 23 * 5


def test_both_engines_print_the_same(trace: Path) -> None:
    shape, step = as_json(trace), as_json(trace, "--engine", "step")
    assert (shape.pop("engine"), step.pop("engine")) == ("shape", "step")
    assert shape == step


def test_the_text_report_says_what_was_replayed_and_what_it_costs(trace: Path) -> None:
    done = pvreplay("run", trace)
    assert done.code == 0 and done.err == ""
    assert "23 switches" in done.out and "on kernel 2.6.21" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "\x1b" not in done.out


def test_the_same_trace_gives_the_same_bytes(trace: Path) -> None:
    assert pvreplay("run", trace, "-f", "json").out == pvreplay("run", trace, "-f", "json").out
    assert pvreplay("run", trace).out == pvreplay("run", trace).out


def test_the_trace_may_come_through_a_pipe(trace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pvreplay", "run", "-", "-f", "json"],
        stdin=trace.open("rb"),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stderr == b""
    assert json.loads(done.stdout)["trace"]["switches"] == 23


def test_the_shipped_recording_is_the_one_in_traces() -> None:
    """It was made with pvreplay convert, as traces/README.md says."""
    recording = Path(__file__).parent.parent / "traces" / "guest-n32-fpthreads.trace.txt"
    shipped, read = (pvreplay("convert", path, "-").out for path in (options.SHIPPED, recording))
    assert shipped == read


def test_without_a_trace_the_shipped_recording_is_replayed_and_named() -> None:
    done = pvreplay("run")
    assert done.code in (0, 1) and "installed with pvreplay" in done.out.replace("\n      ", " ")
    assert Path(options.shipped_trace()).is_file()


def test_output_goes_to_a_file_whole(trace: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    done = pvreplay("run", trace, "-f", "json", "-o", target)
    assert (done.code, done.out) == (0, "")
    assert target.read_text() == pvreplay("run", trace, "-f", "json").out


def test_a_run_that_fails_writes_no_file(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(NO_SWITCH)
    assert pvreplay("run", tmp_path / "t.txt", "-o", tmp_path / "out").code == 3
    assert not (tmp_path / "out").exists()


def test_a_broken_rule_exits_1_and_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    (tmp_path / "t.txt").write_text(WITH_TLS)
    done = pvreplay("run", tmp_path / "t.txt", "--kernel", tmp_path / "late.toml")
    assert done.code == 1
    assert "H1 raw-queued" in done.out and "<-- still queued since step" in done.out
    assert pvreplay("run", tmp_path / "t.txt").code == 0
    assert pvreplay("run", tmp_path / "t.txt", "--kernel", tmp_path / "late.toml", "-b", "native").code == 0


def test_a_baseline_priced_only_to_compare_leaves_no_violation_behind(tmp_path: Path) -> None:
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    (tmp_path / "t.txt").write_text(WITH_TLS)
    report = as_json(tmp_path / "t.txt", "--kernel", tmp_path / "late.toml", "-b", "vmi")
    assert report["violations"] and all(found["backends"] == ["vmi"] for found in report["violations"])


def test_a_performance_finding_fails_a_run_only_when_strict(trace: Path) -> None:
    report = as_json(trace)
    assert {found["severity"] for found in report["violations"]} == {"perf"}
    assert pvreplay("run", trace).code == 0
    assert pvreplay("run", trace, "--strict").code == 1


def test_a_kernel_file_and_the_iopl_policy_change_what_is_simulated(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(PINGPONG.replace("mm=2", "mm=2 iopl=3"))
    posted, merged, never = (
        {b["name"]: b["hypercalls"] for b in as_json(tmp_path / "t.txt", "--iopl", policy)["backends"]}
        for policy in ("posted", "merged", "never")
    )
    assert posted["xen"] == merged["xen"] == never["xen"] + 23


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_can_be_asked_for_and_the_help_names_it(trace: Path, policy: str) -> None:
    assert pvreplay("run", trace, "--policy", policy).code == 0
    assert policy in " ".join(pvreplay("run", "--help").out.split())


@pytest.mark.parametrize(
    "args",
    [
        ["--backend", "vmx"],
        ["--kernel", "2.6.99"],
        ["--policy", "none"],
        ["--iopl", "sometimes"],
        ["--engine", "warp"],
        ["--format", "xml"],
        ["--assume", "fpu"],
        ["--assume", "colour=blue"],
        ["--top", "-1"],
        ["-o", "/no/such/folder/x"],
    ],
)
def test_a_wrong_option_is_two_lines_and_exit_2(trace: Path, args: list[str]) -> None:
    done = pvreplay("run", trace, *args)
    assert done.code == 2 and two_lines(done.err) and done.out == ""


def test_a_missing_file_is_two_lines_and_exit_2(tmp_path: Path) -> None:
    done = pvreplay("run", tmp_path / "missing")
    assert done.code == 2 and two_lines(done.err)


def test_a_trace_without_a_switch_is_two_lines_and_exit_3_even_when_lenient(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(NO_SWITCH)
    for more in ([], ["--lenient"]):
        done = pvreplay("run", tmp_path / "t.txt", *more)
        assert done.code == 3 and two_lines(done.err) and "no switch" in done.err and done.out == ""


@pytest.mark.parametrize("content", [b"", b"\0garbage\xff" * 40, b"just words\n", b"PK\x03\x04" + bytes(300)])
def test_what_is_no_trace_is_two_lines_and_exit_3(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    done = pvreplay("run", tmp_path / "t")
    assert done.code == 3 and two_lines(done.err) and done.out == ""


def test_a_directory_is_two_lines_and_no_verdict(tmp_path: Path) -> None:
    done = pvreplay("run", tmp_path)
    assert done.code in (2, 3) and two_lines(done.err)


def test_a_cut_trace_reports_what_it_holds_and_exits_3_unless_lenient(trace: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.bin"
    assert pvreplay("synth", "pingpong", "--switches", "200000", "-o", whole).code == 0
    cut = tmp_path / "cut.bin"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    done = pvreplay("run", cut, "-f", "json")
    report = json.loads(done.out)
    assert done.code == 3 and two_lines(done.err) and "--lenient" in done.err
    assert 0 < report["trace"]["switches"] < 200_000 and report["trace"]["damage"]
    lenient = pvreplay("run", cut, "--lenient")
    assert lenient.code == 0 and "damaged:" in lenient.out and lenient.err.startswith("pvreplay: ")


def test_hostile_names_reach_no_output_unescaped(tmp_path: Path) -> None:
    hostile = '"e\\x1b[31mvil\\x07"'
    (tmp_path / "t.txt").write_text(PINGPONG.replace("comm=ping", f"comm={hostile}"))
    for form in ("text", "json"):
        done = pvreplay("run", tmp_path / "t.txt", "-f", form)
        assert done.code == 0, done.err
        assert all(char == "\n" or char.isprintable() for char in done.out)
        assert "vil" in done.out


def test_top_lists_tasks_cpus_ops_and_shapes(tmp_path: Path) -> None:
    """``--top N`` is the length of each of the four lists; shapes are listed when it is given."""
    out = pvreplay("run", "-b", "xen", "--top", "3").out
    tables = {line.strip().split("  ")[0]: number for number, line in enumerate(out.splitlines())}
    for head, rest in (("by task", "more"), ("by shape", "more"), ("op", "more op")):
        rows = out.splitlines()[tables[head] + 1 :]
        assert rest in rows[3], head
    assert "by CPU" in tables
    assert "by shape" not in pvreplay("run", "-b", "xen").out
