"""Recovery on records nobody would write: any words, compiled and interpreted, read in any pieces."""

from __future__ import annotations

import random
from array import array

import pytest

from pvreplay.errors import PvreplayError
from pvreplay.sources import _recover_cy
from pvreplay.sources import records as r
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.trace.events import NKINDS, Kind, unpack
from tests.source_tools import interpreted

TYPES = [r.SWITCH] * 12 + [
    r.NEWTASK,
    r.FORK,
    r.EXEC,
    r.EXIT,
    r.FREE,
    r.RENAME,
    r.INFO,
    r.SAME_MM,
    r.LOST,
    r.TLB_FLUSH,
    r.FPU_DEACTIVATED,
    r.FPU_ACTIVATED,
    r.XEN_CR3,
    r.XEN_SET_LDT,
    r.SYS_ENTER,
    r.SYS_EXIT,
    r.RAW_ENTER,
    r.RAW_EXIT,
    r.MC_FLUSH,
]


class ListSource:
    """Records out of a list, *piece* at a time."""

    def __init__(self, words: array, piece: int) -> None:
        self.path, self.format, self.origin, self.clock = "x", "test", "", ""
        self.word_bits = 0
        self.enabled: frozenset[str] | None = None
        self.comms = [b"", b"make", b"kworker/0:1", b"\xff\x1b[31m", b"kthreadd"]
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._words = words
        self._piece = piece

    def fill(self, words: memoryview, start: int) -> int:
        room = min(self._piece, len(words) // 4 - start, len(self._words) // 4 - self.offset)
        words[4 * start : 4 * (start + room)] = memoryview(self._words)[
            4 * self.offset : 4 * (self.offset + room)
        ]
        self.offset += room
        return start + room


def some_records(seed: int, count: int, wild: bool) -> array:
    """Records that make some sense, and with *wild* some that make none."""
    rng = random.Random(seed)
    words = array("Q")
    pids = [0, 1, 2, 3, 5, 8, 13, 0xFFFFFFFF]
    for number in range(count):
        if wild and rng.random() < 0.2:
            words.extend(rng.getrandbits(64) for _ in range(4))
            words[-3] = words[-3] & ~0xFFFF | rng.choice([0, 1, 2, 8191])
            continue
        kind = rng.choice(TYPES)
        a, b, c = rng.choice(pids), rng.choice(pids), rng.randrange(6)
        if kind == r.SWITCH:
            c = r.switch_c(rng.randrange(6), rng.randrange(6), rng.randrange(6))
        elif kind == r.NEWTASK:
            b = rng.choice([0, 0x100, 0x4100, 0x3D0F00])
        elif kind in (r.FPU_ACTIVATED, r.FPU_DEACTIVATED):
            a = rng.choice([0, 3, 0x800, 0x217])
        elif kind in (r.SYS_ENTER, r.SYS_EXIT, r.RAW_ENTER, r.RAW_EXIT):
            a = rng.choice([*range(10), *r.RAW_NUMBERS])
            c = rng.choice([0, 1, 0xFFFFFFFFFFFFFFFF, 5 | 904 << 32])
            b = rng.choice([0, 1, 3, 6, 0x1A, 33])
        flags = rng.choice([0, 0, 0, 1, 2, 3])
        words.extend(r.record(number * 10, rng.randrange(4), kind, rng.choice(pids), a, b, c, flags))
    return words


def outcome(words: array, piece: int = 100000, **assume: str) -> object:
    """All that comes out: events, tasks, doubts, origins."""
    trace = RecoveredTrace(ListSource(words, piece), assume)
    events, tasks = array("Q"), []
    try:
        for chunk in trace.chunks():
            events.extend(chunk.events)
            tasks += chunk.tasks
    except PvreplayError as error:
        return error.message
    return (
        events,
        [(t.id, t.pid, t.mm, t.comm, t.tls, t.gs) for t in tasks],
        trace.doubts,
        repr(trace.meta.state),
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("wild", [False, True])
def test_compiled_and_interpreted_agree_on_any_records(seed: int, wild: bool) -> None:
    words = some_records(seed, 3000, wild)
    assume = {"fpu": ["seen", "user", "always"][seed % 3], "tls": ["none", "per-task"][seed % 2]}
    compiled = outcome(words, **assume)
    slow = interpreted("_recover_cy")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("run", "scan", "find", "put", "seek"):
            patch.setattr(_recover_cy, name, getattr(slow, name))
        assert outcome(words, **assume) == compiled


@pytest.mark.parametrize("seed", range(6))
def test_the_pieces_a_source_hands_over_do_not_matter(seed: int) -> None:
    words = some_records(seed, 20000, wild=False)
    whole = outcome(words)
    assert outcome(words, piece=7 + 100 * seed) == whole


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_one_the_replay_knows(seed: int) -> None:
    words = some_records(seed, 5000, wild=True)
    trace = RecoveredTrace(ListSource(words, 4096))
    known = {0}
    switches = 0
    for chunk in trace.chunks():
        known |= {task.id for task in chunk.tasks}
        for i in range(0, len(chunk.events), 2):
            _, _, kind, arg, flags = unpack(chunk.events[i], chunk.events[i + 1])
            assert 0 < kind < NKINDS
            if kind in (Kind.SWITCH, Kind.ON, Kind.FORK, Kind.FOR):
                assert arg in known
            switches += kind == Kind.SWITCH
            assert flags == 0 or (kind == Kind.TLS and flags < 3)
    told = sum(words[at + 1] >> 16 & 0xFF == r.SWITCH for at in range(0, len(words), 4))
    assert switches == told > 0


def test_thousands_of_tasks_and_pids_make_the_tables_grow() -> None:
    words = array("Q")
    for number in range(1, 5001):
        words.extend(r.record(number, number % 40, r.NEWTASK, 1, number * 7919 % 4194304 + 10, 0, 1))
    trace = RecoveredTrace(ListSource(words, 1000))
    tasks = [task for chunk in trace.chunks() for task in chunk.tasks]
    assert len(tasks) == 5001 and len({task.mm for task in tasks}) == 5001
    assert trace.meta.cpus == 40


def test_a_cpu_no_kernel_has_is_refused() -> None:
    with pytest.raises(PvreplayError, match="CPU 9000"):
        list(RecoveredTrace(ListSource(array("Q", r.record(1, 9000, r.SWITCH, 0)), 10)).chunks())


def test_words_are_put_together_as_documented() -> None:
    assert r.record(1, 2, r.FORK, 3, 4, 5, 6, 7) == (1, 2 | 3 << 16 | 7 << 24 | 3 << 32, 4 | 5 << 32, 6)
    assert r.record(-1, 0, 0, -1, -1)[1:3] == (0xFFFFFFFF << 32, 0xFFFFFFFF)
    assert r.switch_c(1, 2, 3) == 1 | 2 << 24 | 3 << 48
    assert r.syscall_c(1, 1 << 32, 0x100) == (1, r.ARG2_HIGH | r.ARG3_SET)
    assert r.NR_X86_64[172] == r.SYS_IOPL and r.NR_I386[172] == r.SYS_PRCTL
