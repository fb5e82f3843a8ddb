"""Backends priced in several processes: the same report, the same errors, and no process left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import msgspec
import pytest

from pvreplay.backends.reader import builtin_backends, load_backend
from pvreplay.errors import TraceError
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay import processes
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.rules import get_rule
from pvreplay.synth import make
from tests.replay_traces import random_trace


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes even for little; afterwards none of them is left."""
    monkeypatch.setattr(processes, "WORTH_WINDOWS", 0)
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("jobs", [2, 3, 40])
@pytest.mark.parametrize("kernel", ["2.6.21", "2.6.32", "6.1"])
def test_the_report_is_the_same_in_any_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, kernel: str, jobs: int
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    loaded = load_kernel(kernel)
    backends = [load_backend(name, loaded) for name in builtin_backends()]
    hist = replay(random_trace(jobs, 3000), loaded)
    asked = []
    report = price(hist, loaded, backends, jobs=lambda: asked.append(1) or jobs)
    assert asked
    assert report.violations
    assert msgspec.json.encode(report) == msgspec.json.encode(price(hist, loaded, backends))


def test_what_is_given_back_keeps_rules_and_items_as_they_are() -> None:
    items = [object() for _ in range(5)]
    pids: list[int] = []
    found = processes.share_out(lambda item: (item, get_rule("H1"), os.getpid()), items, 3)
    for item, (same, rule, pid) in zip(items, found, strict=True):
        assert same is item and rule is get_rule("H1")
        pids.append(pid)
    assert pids[0] == pids[3] == os.getpid()
    assert pids[1] == pids[4] and len(set(pids)) == 3


def test_what_a_child_cannot_do_is_done_here() -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != here:
            os._exit(9)
        return item * item

    assert processes.share_out(work, range(5), 3) == [0, 1, 4, 9, 16]


def test_an_answer_that_cannot_be_sent_is_found_here() -> None:
    found = processes.share_out(lambda item: lambda: item, range(3), 3)
    assert [give() for give in found] == [0, 1, 2]


def test_an_error_is_raised_as_without_children() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise TraceError("op table of the trace: bad")
        return item

    with pytest.raises(TraceError, match="op table"):
        processes.share_out(work, range(4), 2)


def test_children_end_when_this_process_is_interrupted() -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if os.getpid() == here:
            raise KeyboardInterrupt
        threading.Event().wait(600)
        return item

    with pytest.raises(KeyboardInterrupt):
        processes.share_out(work, range(3), 3)


def test_without_more_processes_everything_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise OSError("no process")

    monkeypatch.setattr(os, "fork", refused)
    before = len(os.listdir("/proc/self/fd"))
    assert processes.share_out(lambda item: item + 1, range(4), 3) == [1, 2, 3, 4]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_of_several_threads_is_not_forked() -> None:
    assert processes.can_share(10)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not processes.can_share(10)
    finally:
        stop.set()
        thread.join()


def test_little_is_priced_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "WORTH_WINDOWS", 2000)
    kernel = load_kernel("2.6.21")
    hist = replay(make("pingpong", switches=50, seed=1), kernel)
    monkeypatch.setattr(os, "fork", None)
    price(hist, kernel, [load_backend(name, kernel) for name in builtin_backends()], jobs=lambda: 2)
