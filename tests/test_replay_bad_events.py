"""Events that cannot be: refused with their place, and never a write out of bounds."""

from __future__ import annotations

import io
import mmap
import random
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError, UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay import state as state_module
from pvreplay.replay.run import replay
from pvreplay.replay.state import MAX_ITEMS, Room
from pvreplay.replay.step import step_rows
from pvreplay.trace.binary import BinaryTrace
from pvreplay.trace.binary_write import BinaryWriter
from pvreplay.trace.events import CPU_MAX, MM_MAX, Kind, pack
from pvreplay.trace.memory import Event, ListTrace, pack_events
from pvreplay.trace.model import Chunk, Meta, Task
from tests.replay_traces import OPS

KERNEL = load_kernel("2.6.21")
TASKS = [Task(1, "a", mm=1), Task(2, "b", mm=2)]


def trace_of(events: list[Event], *, cpus: int = 2) -> ListTrace:
    return ListTrace(events, TASKS, [], Meta(path="t.bin", cpus=cpus, ops=OPS))


BAD: list[tuple[str, Event, str]] = [
    ("a CPU", (5, 2, Kind.FPU), "CPU 2 in a trace of 2 CPUs"),
    ("the largest CPU", (5, 0xFFFF, Kind.SWITCH, 1), "CPU 65535 in a trace of 2 CPUs"),
    ("a task switched to", (5, 0, Kind.SWITCH, 3), "switch names task 3, but 2 tasks are defined"),
    ("the largest task", (5, 0, Kind.SWITCH, 0xFFFFFFFF), "switch names task 4294967295"),
    ("a task found running", (5, 0, Kind.ON, 3), "on names task 3"),
    ("a task of a window", (5, 0, Kind.BEGIN, 3), "begin names task 3"),
    ("a child", (5, 0, Kind.FORK, 3), "fork names task 3"),
    ("an idle child", (5, 0, Kind.FORK, 0), "fork names task 0, the idle task"),
    ("a target", (5, 0, Kind.FOR, 3), "for names task 3"),
    ("mm 0", (5, 0, Kind.EXEC, 0), "exec names mm 0"),
    ("a large mm", (5, 0, Kind.EXEC, MM_MAX), f"exec names mm {MM_MAX}"),
    ("a TLS slot", (5, 0, Kind.TLS, 1, 3), "TLS slot 3"),
    ("the largest TLS slot", (5, 0, Kind.TLS, 1, 255), "TLS slot 255"),
    ("an IOPL", (5, 0, Kind.IOPL, 4), "iopl has the value 4"),
    ("a flag", (5, 0, Kind.GS, 2), "gs has the value 2"),
    ("a blockstep flag", (5, 0, Kind.BLOCKSTEP, 2), "blockstep has the value 2"),
    ("an op", (5, 0, Kind.OP, len(OPS)), "op 4 in a trace whose op table has 4 entries"),
    ("an operand, not an op", (5, 0, Kind.OP, 0xFFFF0004), "op 4 in a trace"),
    ("kind 0", (5, 0, 0), "event kind 0"),
    ("a kind to come", (5, 0, 35), "event kind 35"),
    ("the largest kind", (5, 0, 255), "event kind 255"),
]


@pytest.mark.parametrize("interpreted", [False, True])
@pytest.mark.parametrize(("event", "said"), [(e, s) for _, e, s in BAD], ids=[name for name, _, _ in BAD])
def test_an_event_out_of_range_is_refused_by_name_and_place(
    event: Event, said: str, interpreted: bool
) -> None:
    trace = trace_of([(1, 0, Kind.SWITCH, 1), (2, 0, Kind.SWITCH, 2), event])
    with pytest.raises(TraceError) as refused:
        replay(trace, KERNEL, interpreted=interpreted)
    assert refused.value.message.startswith(f"t.bin: event 2: {said}")
    assert refused.value.hint
    assert refused.value.exit_code == 3
    with pytest.raises(TraceError):
        step_rows(trace, KERNEL)


def test_in_a_trace_file_the_place_is_the_offset() -> None:
    out = io.BytesIO()
    writer = BinaryWriter(out, Meta(path="guest.bin", cpus=8))
    events = pack_events([(i, 0, Kind.SWITCH, 1 + i % 2) for i in range(40)] + [(50, 9, Kind.FPU)])
    writer.write(Chunk(events, TASKS))
    writer.close()
    found = out.getvalue().index(b"".join(w.to_bytes(8, "little") for w in pack(50, 9, Kind.FPU)))
    out.seek(0)
    with pytest.raises(TraceError) as refused:
        replay(BinaryTrace.from_stream(out, "guest.bin"), KERNEL)
    assert refused.value.message == f"guest.bin: offset {found:#x}: CPU 9 in a trace of 8 CPUs"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task(2), "task 2 is defined where task 1 is next"),
        (Task(1, mm=MM_MAX), "task 1 has mm"),
        (Task(1, iopl=4), "task 1 has iopl 4"),
        (Task(1, fpu_counter=256), "task 1 has fpu_counter 256"),
        (Task(1, ldt=1 << 32), "task 1 has ldt"),
        (Task(1, tls=(0, 0, 1 << 32)), "task 1 has TLS slots"),
        (Task(1, tls=(0, 0)), "task 1 has TLS slots"),  # type: ignore[arg-type]
    ],
)
def test_a_task_that_cannot_be_is_refused(task: Task, said: str) -> None:
    trace = trace_of([(1, 0, Kind.SWITCH, 0)])
    trace.tasks = [task]
    with pytest.raises(TraceError, match=said):
        replay(trace, KERNEL)
    with pytest.raises(TraceError):
        step_rows(trace, KERNEL)


@pytest.mark.parametrize(("cpu", "task"), [(2, 1), (-1, 1), (0, 3), (0, -1)])
def test_who_runs_first_is_checked_like_an_event(cpu: int, task: int) -> None:
    trace = trace_of([(1, 0, Kind.SWITCH, 0)])
    trace.on = [(cpu, task)]
    with pytest.raises(TraceError, match=f"task {task} runs on CPU {cpu}"):
        replay(trace, KERNEL)


def test_more_cpus_than_x86_can_have_are_refused() -> None:
    with pytest.raises(TraceError, match=f"{CPU_MAX + 1} CPUs"):
        replay(trace_of([], cpus=CPU_MAX + 1), KERNEL)


def test_an_empty_time_window_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        replay(trace_of([]), KERNEL, window_ns=(5, 5))


@pytest.mark.parametrize("engine", [replay, step_rows])
def test_a_section_that_is_never_left_ends_in_an_error_not_in_all_of_memory(engine: object) -> None:
    events: list[Event] = [(1, 1, Kind.ENTER_MMU)]
    events += [(2, 1, Kind.READ_PTE)] * (MAX_ITEMS + 1)
    with pytest.raises(TraceError, match=f"more than {MAX_ITEMS} operations"):
        engine(trace_of(events), KERNEL)  # type: ignore[operator]


def test_a_section_of_many_thousand_operations_is_one_sequence() -> None:
    events: list[Event] = [(1, 1, Kind.ENTER_MMU), (1, 0, Kind.ENTER_MMU), (1, 0, Kind.SET_PTE, 3)]
    events += [(2, 1, kind) for _ in range(15_000) for kind in (Kind.READ_PTE, Kind.FLUSH)]
    events += [(3, 1, Kind.LEAVE_MMU), (4, 0, Kind.LEAVE_MMU)]
    hist = replay(trace_of(events), KERNEL)
    assert [len(sequence) for sequence in hist.sequences] == [30_002, 3]
    assert hist == replay(trace_of(events), KERNEL, room=Room(items=2, arena=1, sequences=1))


# --- garbage ------------------------------------------------------------------

MARGIN = mmap.PAGESIZE
CANARY = b"\xa5" * MARGIN


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[mmap.mmap]]:
    """Every array of the loop between two margins; a margin that changed fails the test."""
    made: list[mmap.mmap] = []

    def memory(size_bytes: int, *, dense: bool = False) -> memoryview:
        whole = mmap.mmap(-1, size_bytes + 2 * MARGIN)
        whole[:MARGIN] = whole[-MARGIN:] = CANARY
        made.append(whole)
        return memoryview(whole)[MARGIN:-MARGIN]

    monkeypatch.setattr(state_module, "_memory", memory)
    yield made
    assert made
    for whole in made:
        assert whole[:MARGIN] == CANARY
        assert whole[-MARGIN:] == CANARY


class RawTrace(ListTrace):
    """Two tasks, and any words at all as events."""

    def __init__(self, words: list[int]) -> None:
        super().__init__([], TASKS, [(1, 1)], Meta(path="raw", cpus=2, ops=OPS))
        self.words = memoryview(array("Q", words)).toreadonly()

    def chunks(self) -> Iterator[Chunk]:
        yield Chunk(self.words, self.tasks, self.on)


def outcome(words: list[int], interpreted: bool) -> object:
    try:
        return replay(RawTrace(words), KERNEL, interpreted=interpreted, room=Room(2, 2, 1, 1, 1))
    except TraceError as error:
        return error.message


WORD = st.integers(0, (1 << 64) - 1)
NEAR = st.builds(
    lambda kind, cpu, arg, flags: arg | cpu << 32 | kind << 48 | flags << 56,
    st.integers(0, 36),
    st.sampled_from([0, 1, 1, 2]),
    st.sampled_from([0, 1, 2, 3, 4, MM_MAX - 1, MM_MAX, 0x10003, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 2, 3, 255]),
)
"""Words close enough to an event that the loop gets past its first check."""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORD, WORD | NEAR), max_size=30))
def test_any_sixteen_bytes_give_a_result_or_a_trace_error_and_the_same_one_interpreted(
    events: list[tuple[int, int]],
) -> None:
    words = [word for event in events for word in event]
    # The interpreted loop raises IndexError where the compiled one would write out of bounds.
    assert outcome(words, interpreted=True) == outcome(words, interpreted=False)


def test_garbage_never_writes_beside_the_arrays(guarded: list[mmap.mmap]) -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(150):
        words = []
        for _ in range(rng.randrange(60)):
            arg = rng.choice([0, 1, 2, 2, 1, 0, 3, MM_MAX - 1, 0xFFFFFFFF])
            cpu = rng.choice([0, 1] * 50 + [2, CPU_MAX, 0xFFFF])
            kind = rng.choice([*range(1, 35)] * 5 + [0, 35, 255])
            words += [rng.getrandbits(64), arg | cpu << 32 | kind << 48 | rng.randrange(3) << 56]
        refused += isinstance(outcome(words, interpreted=False), str)
    assert 20 < refused < 150
