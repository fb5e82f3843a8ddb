"""A trace made of values in memory: for tests, and for traces small enough to write down."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from pvreplay.trace.events import Kind
from pvreplay.trace.model import Chunk, Meta, Task, Trace

Event = tuple[int, ...]
"""(time_ns, cpu, kind) and, if not 0, argument and flags."""


def pack_events(events: Iterable[Event]) -> memoryview:
    """The words of *events* as a read-only view of format ``Q``, two words an event.

    Raises :class:`ValueError` when a number does not fit its bits.
    """
    words = array("Q")
    for event in events:
        time_ns, cpu, kind, arg, flags = (*event, 0, 0)[:5]
        if not (
            0 <= time_ns < 1 << 64
            and 0 <= cpu < 1 << 16
            and 0 <= kind < 1 << 8
            and 0 <= arg < 1 << 32
            and 0 <= flags < 1 << 8
        ):
            raise ValueError(f"event {event} does not fit: (time_ns, cpu, kind, argument, flags)")
        words.append(time_ns)
        words.append(arg | cpu << 32 | kind << 48 | flags << 56)
    return memoryview(words).toreadonly()


class ListTrace:
    """A :class:`~pvreplay.trace.model.Trace` over lists; may be read more than once.

    *events* are (time_ns, cpu, kind[, argument[, flags]]) tuples, *tasks* must be
    numbered 1, 2, 3 ..., *on* is (cpu, task) of who runs first.  *chunk_events*
    cuts the events into chunks of that many, to test what happens at the seams.

        ListTrace([(1000, 0, Kind.SWITCH, 2)], [Task(1, "make", mm=1), Task(2, "cc1", mm=2)], [(0, 1)])
    """

    def __init__(
        self,
        events: Iterable[Event],
        tasks: Iterable[Task] = (),
        on: Iterable[tuple[int, int]] = (),
        meta: Meta | None = None,
        *,
        chunk_events: int = 1 << 14,
    ) -> None:
        self.events: list[Event] = list(events)
        self.tasks = list(tasks)
        self.on = list(on)
        if [task.id for task in self.tasks] != list(range(1, len(self.tasks) + 1)):
            raise ValueError("tasks must be numbered 1, 2, 3 ... in order")
        if meta is None:
            op_level = any(event[2] in (Kind.BEGIN, Kind.OP, Kind.END) for event in self.events)
            meta = Meta(path="<memory>", format="memory", level="op" if op_level else "switch")
            meta.cpus = 1 + max([0, *(event[1] for event in self.events), *(cpu for cpu, _ in self.on)])
        self.meta = meta
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self._chunk_events = chunk_events

    def chunks(self) -> Iterator[Chunk]:
        """Yield the events; tasks and *on* come with the first chunk."""
        tasks, on = self.tasks, self.on
        for first in range(0, max(len(self.events), 1), self._chunk_events):
            view = pack_events(self.events[first : first + self._chunk_events])
            yield Chunk(view, tasks, on, first)
            tasks, on = [], []


def read_all(trace: Trace) -> tuple[list[Event], list[Task], list[tuple[int, int]]]:
    """All events, tasks and *on* pairs of a trace, as lists: for tests and small traces."""
    events: list[Event] = []
    tasks: list[Task] = []
    on: list[tuple[int, int]] = []
    for chunk in trace.chunks():
        tasks += chunk.tasks
        on += chunk.on
        words = chunk.events
        for at in range(0, len(words), 2):
            word = words[at + 1]
            events.append((words[at], word >> 32 & 0xFFFF, word >> 48 & 0xFF, word & 0xFFFFFFFF, word >> 56))
    return events, tasks, on
