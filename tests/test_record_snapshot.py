"""Tasks older than a recording: /proc, kcmp, and what recovery makes of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.record import snapshot
from pvreplay.record.snapshot import TaskThen, records_of, same_mm, tasks
from pvreplay.sources import records as r
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.sources.tracepoints import CommTable
from tests.source_tools import by_pid, read

STAT = b"%d (%s) S 1 1 1 0 -1 %d 0 0 0 0 0 0 0 0 20 0 1 0 100 %d 5 18446744073709551615\n"


def process(proc: Path, pid: int, comm: bytes, tids: Sequence[int] = (), kthread: bool = False) -> None:
    """A process under a fake /proc."""
    folder = proc / str(pid)
    for tid in (pid, *tids):
        (folder / "task" / str(tid)).mkdir(parents=True)
        (folder / "task" / str(tid) / "comm").write_bytes(comm + b"\n")
    flags = snapshot.PF_KTHREAD | 0x40 if kthread else 0x400000
    (folder / "stat").write_bytes(STAT % (pid, comm, flags, 0 if kthread else 4096))


def test_proc_tells_threads_names_and_kernel_threads(tmp_path: Path) -> None:
    process(tmp_path, 10, b"a) R 9 9", [11, 12])
    process(tmp_path, 2, b"kthreadd", kthread=True)
    (tmp_path / "sys").mkdir()
    (tmp_path / "99").mkdir()  # vanished
    found = {task.tid: task for task in tasks(str(tmp_path))}
    assert found == {
        10: TaskThen(10, 10, b"a) R 9 9", False, True),
        11: TaskThen(11, 10, b"a) R 9 9", False, True),
        12: TaskThen(12, 10, b"a) R 9 9", False, True),
        2: TaskThen(2, 2, b"kthreadd", True, False),
    }
    assert [task.tid for task in tasks(str(tmp_path), known={2, 10, 11})] == [12]


def test_a_zombie_is_neither_kernel_thread_nor_user_of_an_mm(tmp_path: Path) -> None:
    process(tmp_path, 10, b"gone")
    (tmp_path / "10" / "stat").write_bytes(STAT % (10, b"gone", 0x40000C, 0))
    assert list(tasks(str(tmp_path))) == [TaskThen(10, 10, b"gone", False, False)]


@pytest.mark.parametrize("text", [b"", b"10 (a) S 1", b"10 (a) " + b"x " * 60])
def test_a_stat_that_cannot_be_read_tells_nothing(text: bytes, tmp_path: Path) -> None:
    process(tmp_path, 10, b"a")
    (tmp_path / "10" / "stat").write_bytes(text)
    assert list(tasks(str(tmp_path))) == [TaskThen(10, 10, b"a", None, False)]


@pytest.mark.skipif(snapshot.system_kcmp() is None, reason="kcmp() is not allowed here")
def test_kcmp_knows_that_a_process_shares_its_mm_with_itself_alone() -> None:
    kcmp = snapshot.system_kcmp()
    assert kcmp is not None
    assert kcmp(os.getpid(), os.getpid()) == 0
    assert kcmp(os.getpid(), os.getppid()) != 0


@given(st.lists(st.integers(1, 6), min_size=0, max_size=30), st.sets(st.integers(0, 29), max_size=4))
@settings(max_examples=60, deadline=None)
def test_sorting_by_kcmp_finds_every_pair_with_one_mm(mms: list[int], gone: set[int]) -> None:
    asked = 0

    def kcmp(first: int, second: int) -> int:
        nonlocal asked
        asked += 1
        if first - 1 in gone or second - 1 in gone:
            return -1
        a, b = mms[first - 1] * 2654435761 % 97, mms[second - 1] * 2654435761 % 97
        return 0 if a == b else snapshot.LOWER if a < b else snapshot.HIGHER

    leaders = range(1, len(mms) + 1)
    group: dict[int, int] = {}
    for first, second in same_mm(leaders, kcmp):
        group[second] = group.setdefault(first, first)
    alive = [pid for pid in leaders if pid - 1 not in gone]
    for first in alive:
        for second in alive:
            together = group.get(first, first) == group.get(second, second)
            assert together == (mms[first - 1] == mms[second - 1])
    assert asked <= 2 * len(mms) * (len(mms).bit_length() + 1)


# --- what becomes of it ---------------------------------------------------------------------------


class Listed:
    """A RawSource of given records."""

    def __init__(self, records: Sequence[tuple[int, int, int, int]], enabled: frozenset[str]) -> None:
        self.path, self.format, self.origin, self.clock, self.damage = "-", "list", "", "", ""
        self.word_bits, self.offset = 64, 0
        self.enabled: frozenset[str] | None = enabled
        self.comms = [b"", b"prog"]
        self.doubts: dict[str, int] = {}
        self._records = list(records)

    def fill(self, words: memoryview, start: int) -> int:
        n = start
        while self._records and n < len(words) // 4:
            for place, word in enumerate(self._records.pop(0)):
                words[4 * n + place] = word
            n += 1
        return n


def recovered(
    found: Sequence[TaskThen],
    pairs: Sequence[tuple[int, int]] | None,
    *switches: tuple[int, int],
    more: Sequence = (),
) -> RecoveredTrace:
    """The trace of a snapshot and switches (prev, next) on CPU 0, with TLB flushes recorded and none seen."""
    records = list(records_of(found, {b"prog": 1}, pairs))
    for time, (prev, following) in enumerate(switches, 1):
        records.append(r.record(time * 1000, 0, r.SWITCH, prev, prev, following, r.switch_c(1, 1)))
    return RecoveredTrace(Listed([*records, *more], frozenset({"sched:sched_switch", "tlb:tlb_flush"})))


def user(tid: int, tgid: int = 0) -> TaskThen:
    return TaskThen(tid, tgid or tid, b"prog", False, True)


def test_mms_of_a_snapshot_are_known_and_none_is_assumed() -> None:
    found = [user(10), user(11, 10), user(20), user(30), TaskThen(5, 5, b"prog", True, False)]
    order = (0, 10), (10, 11), (11, 20), (20, 30), (30, 5), (5, 0)
    trace = recovered(found, [], *order)
    _, defined = read(trace)
    mm = {pid: task.mm for pid, task in by_pid(defined).items()}
    assert mm[10] == mm[11]
    assert len({mm[10], mm[20], mm[30]}) == 3
    assert mm[5] == 0
    assert "mm_assumed" not in trace.doubts
    assert trace.meta.state["mm"].how == "derived"


def test_processes_that_share_an_mm_share_it_whoever_comes_first() -> None:
    found = [user(pid) for pid in (10, 20, 30, 40)]
    for order in ((10, 20, 30, 40), (40, 30, 20, 10), (20, 10, 40, 30)):
        trace = recovered(found, [(10, 20), (10, 30)], *zip((0, *order), (*order, 0), strict=True))
        mm = {pid: task.mm for pid, task in by_pid(read(trace)[1]).items()}
        assert mm[10] == mm[20] == mm[30] != mm[40]


def test_a_process_that_calls_exec_shares_no_more() -> None:
    found = [user(10), user(20)]
    execs = r.record(1500, 0, r.EXEC, 10, 10, 10, 1)
    late = [r.record(3000, 0, r.SWITCH, 10, 10, 20, r.switch_c(1, 1))]
    trace = recovered(found, [(10, 20)], (0, 10), more=[execs, *late])
    events, defined = read(trace)
    new = next(arg for kind, _, arg, _ in events if kind == "EXEC")
    tasks_by_pid = by_pid(defined)
    assert tasks_by_pid[20].mm == tasks_by_pid[10].mm != new


def test_without_kcmp_the_other_evidence_decides() -> None:
    # No TLB flush at the switch from 10 to 20: the same mm, unless kcmp knows better.
    found = [user(10), user(20)]
    mms = {}
    for pairs in (None, []):
        mm = {
            pid: task.mm for pid, task in by_pid(read(recovered(found, pairs, (0, 10), (10, 20)))[1]).items()
        }
        mms[pairs is None] = mm[10] == mm[20]
    assert mms == {True: True, False: False}


def test_names_from_elsewhere_get_numbers_among_those_of_events() -> None:
    table = CommTable()
    numbers = table.add([b"init", b"a name of over 15 bytes", b"init"])
    assert [table.names[numbers[name]] for name in (b"init", b"a name of over 15 bytes")] == [
        b"init",
        b"a name of over ",
    ]
    many = table.add(b"task %d" % n for n in range(20_000))
    assert len(set(many.values())) == len(many)
    assert table.names[many[b"task 19999"]] == b"task 19999"
