"""The pytest plugin, in test sessions of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pvreplay.errors import TraceError, UsageError
from pvreplay.testing import Amount, Cache, Rate, Replays, explain
from tests.cli_helpers import LEAVE_LATE, NO_SWITCH, PINGPONG, WITH_TLS

pytest_plugins = ["pytester"]

LOAD = (
    ()
    if any(one.name == "pvreplay" for one in entry_points(group="pytest11"))
    else ("-p", "pvreplay.pytest_plugin")
)
"""How the plugin gets into a session where the package is not installed."""
EARLY = """\
extends = "2.6.21"
[[change]]
move = "leave_lazy_cpu"
after = "load_esp0"
"""
"""The batch ends before the TLS slots are written: they cross by themselves on Xen."""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with a trace and two kernels."""
    for variable in ("CI", "BUILD_NUMBER"):  # pytest cuts explanations short for people only
        monkeypatch.delenv(variable, raising=False)
    pytester.path.joinpath("t.txt").write_text(PINGPONG)
    pytester.path.joinpath("tls.txt").write_text(WITH_TLS)
    pytester.path.joinpath("early.toml").write_text(EARLY)
    pytester.path.joinpath("late.toml").write_text(LEAVE_LATE)
    return pytester


def test_a_budget_that_holds_passes(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        def test_budget(hypercalls):
            cost = hypercalls("t.txt", backend="xen")
            assert cost.per_switch <= 1.0
            assert cost.hypercalls == cost.switches == 23
            assert cost.per_switch * 23 == cost.hypercalls
            assert not cost.errors
        """
    )
    session.runpytest_inprocess(*LOAD).assert_outcomes(passed=1)


def test_a_budget_that_breaks_says_by_how_much_and_which_ops(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        def test_budget(hypercalls):
            assert hypercalls("t.txt", backend="xen").per_switch <= 0.5
        """
    )
    result = session.runpytest_inprocess(*LOAD)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       assert 1 (xen@2.6.21) <= 0.5",
            "E         t.txt: 23 switches, 23 hypercalls",
            "E         11.5 more than 0.5 allows",
            "E         by op:",
            "E           leave_lazy_cpu                 23  100.0 %  1.0000 per switch",
            "E         hypercalls in a switch:",
            "E             1         23 switches  100.0 %",
        ]
    )


def test_two_kernels_compared_show_the_ops_that_differ(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        def test_my_patch(hypercalls):
            assert hypercalls("t.txt", kernel="early.toml").hypercalls <= hypercalls("t.txt").hypercalls
        """
    )
    result = session.runpytest_inprocess(*LOAD)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       assert 46 (xen@early) <= 23 (xen@2.6.21)",
            "E         <xen@early on t.txt>: 46 hypercalls in 23 switches",
            "E         by op, left and right:",
            "E           load_tls                       23            0          +23  hypercall -> queued",
        ]
    )


def test_broken_rules_are_told_in_a_line(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        def test_order(hypercalls):
            assert not hypercalls("tls.txt", kernel="late.toml").errors
        """
    )
    result = session.runpytest_inprocess(*LOAD)
    result.stdout.fnmatch_lines(["*assert not [[]H1 raw-queued at loadsegment:gs on xen: 2 times]*"])


def test_a_missing_trace_says_where_it_was_looked_for(session: pytest.Pytester) -> None:
    session.makepyfile("def test_it(hypercalls):\n    hypercalls('none.bin')\n")
    result = session.runpytest_inprocess(*LOAD)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*UsageError: none.bin: no such file", "E*Looked in *"])
    assert "pvreplay/testing.py" not in result.stdout.str()


def test_files_are_found_beside_the_test_from_any_folder(session: pytest.Pytester) -> None:
    inner = session.mkdir("inner")
    (inner / "own.txt").write_text(PINGPONG)
    (inner / "test_inner.py").write_text(
        "def test_it(hypercalls):\n"
        "    assert hypercalls('own.txt').hypercalls == hypercalls('t.txt').hypercalls == 23\n"
    )
    session.makeini("[pytest]")
    session.runpytest_inprocess(*LOAD, "inner").assert_outcomes(passed=1)


def test_a_trace_is_replayed_once_a_session_for_kernels_that_ask_the_same(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = import_module("pvreplay.replay.run")  # an earlier session may have left another one behind
    real, calls = run.replay, []

    def counted(*args: object, **options: object) -> object:
        calls.append(args)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "replay", counted)
    session.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("backend", ["native", "vmi", "xen"])
        def test_backends(hypercalls, backend):
            assert hypercalls("t.txt", backend=backend).switches == 23

        def test_kernel(hypercalls):
            hypercalls("t.txt", kernel="early.toml")

        def test_another_fpu_model(hypercalls):
            hypercalls("t.txt", kernel="6.1")

        def test_assumption(hypercalls):
            hypercalls("t.txt", assume={"fpu": "never"})
        """
    )
    session.runpytest_inprocess(*LOAD, "-k", "test_backends or test_kernel").assert_outcomes(passed=4)
    assert len(calls) == 1
    calls.clear()
    session.runpytest_inprocess(*LOAD, "-k", "test_another or test_backends").assert_outcomes(passed=4)
    assert len(calls) == 2


def test_a_trace_that_was_written_anew_is_replayed_anew(tmp_path: Path) -> None:
    cache = Cache()
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)
    first = Replays(cache)(path).hypercalls
    path.write_text(PINGPONG + "0.000000023 0 switch 1\n")
    os.utime(path, ns=(1, 1))
    assert Replays(cache)(path).hypercalls == first + 1


def test_lost_events_are_refused_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG + "0.000000024 0 lost 7\n")
    with pytest.raises(TraceError, match="7 events lost: counts are lower bounds") as caught:
        Replays()(path)
    assert caught.value.__notes__ == ["Pass allow_lost=True to accept that."]
    assert Replays()(path, allow_lost=True).hypercalls == 23


def test_a_trace_without_a_switch_is_no_free_pass(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(NO_SWITCH)
    with pytest.raises(TraceError, match="no switch in 1 event"):
        Replays()(path)
    with pytest.raises(UsageError, match="no such file"):
        Replays()(tmp_path / "none")


def test_figures_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)
    cost = Replays()(path, backend="xen")
    assert isinstance(cost.per_switch, Rate) and isinstance(cost.hypercalls, Amount)
    assert (
        cost.hypercalls + 1 == 24 and f"{cost.per_switch:.1f}" == "1.0" and hash(cost.hypercalls) == hash(23)
    )
    assert cost.entries_per_switch == cost.entries / 23
    assert explain("==", 1, 2) is None
    lines = explain("<=", 0.5, cost.per_switch)
    assert lines is not None and lines[0] == "0.5 <= 1 (xen@2.6.21)"


def test_a_hostile_file_name_cannot_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "e\x1b[31mvil.txt"
    path.write_text(PINGPONG)
    cost = Replays()(path)
    lines = explain("<=", cost.per_switch, 0)
    assert lines is not None and all(line.isprintable() for line in lines)
    assert repr(cost).isprintable()


def test_loading_the_plugin_imports_nothing_else_of_the_package() -> None:
    code = "import pvreplay.pytest_plugin, sys; print(*sorted(m for m in sys.modules if m[:2] == 'pv'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pvreplay", "pvreplay.pytest_plugin"]


def test_the_fixture_is_listed_with_what_it_does(session: pytest.Pytester) -> None:
    result = session.runpytest_inprocess(*LOAD, "--fixtures", "-v")
    assert re.search(r"^hypercalls.*\n\s+What a trace costs", result.stdout.str(), re.MULTILINE)
