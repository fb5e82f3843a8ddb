"""The one setting of how many threads read a recording."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pvreplay.sources import ahead, perfdata
from pvreplay.sources.ahead import Ahead, read_ahead
from pvreplay.sources.parallel import MOST, jobs, set_jobs
from tests.binary_tools import PERF


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    set_jobs(0)


def test_without_a_setting_it_is_the_cpus_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {1, 4, 6})
    assert jobs() == 3
    set_jobs(5)
    assert jobs() == 5
    set_jobs(0)
    assert jobs() == 3


def test_the_setting_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    set_jobs(10**6)
    assert jobs() == MOST
    set_jobs(-3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(500)))
    assert jobs() == MOST


def test_one_job_reads_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    set_jobs(1)
    source = perfdata.PerfData(str(PERF))
    assert read_ahead(source, ahead.WORTH_BYTES) is source
    set_jobs(2)
    assert isinstance(read_ahead(source, ahead.WORTH_BYTES), Ahead)
