"""--jobs: however many threads work, the answer is the same to the last byte."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pvreplay.cli import together
from pvreplay.errors import TraceError
from pvreplay.replay import run as replaying
from pvreplay.sources import ahead, parallel
from tests.binary_tools import DAT32, DAT64, PAGES, PERF
from tests.cli_helpers import NO_SWITCH
from tests.cli_helpers import pvreplay as run
from tests.source_tools import DATA

ROOT = Path(__file__).parent.parent
SHIPPED = [
    PERF, DAT32, DAT64, PAGES, DATA / "sources-n64-weird.trace.txt", ROOT / "traces" / "pingpong23.txt",
    ROOT / "traces" / "guest-n32-fpthreads.trace.txt", ROOT / "traces" / "guest-n32-state.function.txt",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads even for the small files of the tests."""
    monkeypatch.setattr(ahead, "WORTH_BYTES", 0)
    monkeypatch.setattr(together, "WORTH_BYTES", 0)
    monkeypatch.setattr(replaying, "WORTH_BYTES", 1)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace.bin of many blocks."""
    path = tmp_path_factory.mktemp("jobs") / "large.bin"
    assert run("synth", "gameserver", "--switches", "300000", "--seed", "3", "-o", str(path)).code == 0
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_run_says_the_same_with_any_number_of_threads(path: Path) -> None:
    alone = run("run", str(path), "--format", "json", "--jobs", "1")
    assert alone.code in (0, 1), alone.err
    for jobs in ("2", "5"):
        assert run("run", str(path), "--format", "json", "--jobs", jobs) == alone


def test_a_large_trace_gives_the_same_with_any_number_of_threads(large: Path) -> None:
    alone = run("run", str(large), "--format", "json", "-j1")
    assert '"switches":300000' in "".join(alone.out.split())
    for jobs in ("2", "5"):
        assert run("run", str(large), "--format", "json", "-j", jobs) == alone


@pytest.mark.parametrize("path", [PERF, DAT64, ROOT / "traces" / "guest-xen.xentrace"], ids=lambda p: p.name)
def test_info_says_the_same_with_any_number_of_threads(path: Path) -> None:
    alone = run("info", str(path), "-j1")
    assert alone.code == 0
    assert run("info", str(path), "-j5") == alone


@pytest.mark.parametrize(
    "sides",
    [("xen@2.6.31", "xen@2.6.32", str(PERF)), ("2.6.21", "2.6.32"), (str(PERF), str(DAT64))],
    ids=["backends", "kernels", "traces"],
)
def test_diff_says_the_same_with_any_number_of_threads(sides: tuple[str, ...]) -> None:
    alone = run("diff", *sides, "-f", "json", "-j1")
    assert alone.code == 0, alone.err
    assert run("diff", *sides, "-f", "json", "-j5") == alone


def test_gate_says_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    baseline = str(tmp_path / "baseline.toml")
    traces = [str(path) for path in SHIPPED[:6]]
    made = run("gate", *traces, "--baseline", baseline, "--update", "-j1")
    assert made.code == 0, made.err
    written = Path(baseline).read_bytes()
    assert run("gate", *traces, "--baseline", baseline, "--update", "-j5").code == 0
    assert Path(baseline).read_bytes() == written
    alone = run("gate", *traces, "--baseline", baseline, "-f", "json", "-j1")
    assert run("gate", *traces, "--baseline", baseline, "-f", "json", "-j5") == alone


def test_counts_says_the_same_with_any_number_of_threads() -> None:
    traces = [str(path) for path in SHIPPED[:6]]
    alone = run("counts", *traces, "-j1")
    assert alone.code == 0, alone.err
    assert run("counts", *traces, "-j5") == alone


def test_the_error_told_is_that_of_the_first_trace_in_the_order_named(tmp_path: Path) -> None:
    bad = []
    for name in ("b", "a"):
        (tmp_path / name).write_text(NO_SWITCH)
        bad.append(str(tmp_path / name))
    baseline = str(tmp_path / "baseline.toml")
    alone = run("gate", str(PERF), *bad, "--baseline", baseline, "-j1")
    assert alone.code == 3 and "b: no switch" in alone.err
    assert run("gate", str(PERF), *bad, "--baseline", baseline, "-j5") == alone


def test_the_setting_ends_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(parallel, "set_jobs", asked.append)
    run("info", str(PERF), "--jobs", "3")
    assert asked == [3, 0]


@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_no_thread_at_all_is_a_usage_error(value: str) -> None:
    assert run("run", str(PERF), "--jobs", value).code == 2


@pytest.mark.parametrize(("jobs", "threads"), [(1, 1), (2, 2), (3, 3), (9, 4)])
def test_as_many_calls_side_by_side_as_there_may_be_threads(
    monkeypatch: pytest.MonkeyPatch, jobs: int, threads: int
) -> None:
    monkeypatch.setattr(parallel, "_jobs", jobs)
    meet = threading.Barrier(threads)
    shares: list[int] = []

    def call(number: int) -> Callable[[], int]:
        def work() -> int:
            if number < threads:
                meet.wait(timeout=30)  # all of them at once, or never
            shares.append(parallel.jobs())
            return number

        return work

    assert together.together([call(number) for number in range(4)], [str(PERF)]) == [0, 1, 2, 3]
    assert set(shares) == {jobs // threads}
    assert parallel.jobs() == jobs


def test_one_call_that_fails_leaves_the_others_to_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_jobs", 2)
    done: list[int] = []

    def fails() -> None:
        raise TraceError("a bad trace")

    with pytest.raises(TraceError, match="a bad trace"):
        together.together([fails, lambda: done.append(1), lambda: done.append(2)], [str(PERF)])
    assert sorted(done) == [1, 2]
