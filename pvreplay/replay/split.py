"""One trace replayed by two threads: the second begins in the middle, from a state it found out.

What a switch does depends on everything before it, so the second thread first runs ahead through the
part that the first replays, following nothing but who runs where and whose FPU is live
(``_loop_cy.scout``), at a fraction of the time.  Half-way between the first thread and the end it goes
over to the replay itself; what it counts in the first :data:`WARM_EVENTS` is thrown away, because
they put the rest of the state in place: the sections and interrupts that the CPUs are in.

That state is a guess until the first thread gets there.  If the state it has then is the same, to the
last bit, what the second thread counted is what the first would have counted, and is added to it.  If
not, or if the second thread met anything that cannot be, the first goes on alone: errors, and where
they are said to be, are those of one thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pvreplay.replay.state import MAX_SEQUENCES, S_SEQUENCES

if TYPE_CHECKING:
    from pvreplay.replay.state import State
    from pvreplay.trace.binary_read import BinaryTrace
    from pvreplay.trace.model import Chunk, Task, Trace

WARM_EVENTS: Final = 1 << 16
"""A section or interrupt that takes more events is not noticed by the second thread in time."""
_EVENT_BYTES: Final = 16
_MOST_TASKS: Final = 1 << 16
"""Of so many tasks the reading takes longer than the replay, and is nothing two threads do faster."""
_ASKED_S: Final = 0.1
"""How often the one who waits looks up from waiting, to tell how far it is."""


def second_thread(trace: Trace, state: State, loop: Any) -> Second | None:
    """A second thread at work on *trace*, of which nothing was replayed yet; None when it cannot be.

    *state* is a fresh state like that of the first thread.
    """
    from pvreplay.trace.binary_read import BinaryTrace

    if not isinstance(trace, BinaryTrace):
        return None
    again = trace.again()
    return None if again is None else Second(trace, again, state, loop)


class Second:
    """The second thread, and what it has when :meth:`joined` says that it is right.

    *trace*, *state*, *tasks* and *events* are then those of the whole trace, but for what *state* counted.
    """

    def __init__(self, first: BinaryTrace, trace: BinaryTrace, state: State, loop: Any) -> None:
        self._first = first
        self.trace = trace
        self.state = state
        self.tasks: list[Task] = []
        self.events = 0
        self.counted = 0
        """Of :attr:`events`, those that need not be replayed by the first thread if this one is right."""
        self.front = 0
        """Set by the first thread: the offset it is at."""
        self._loop = loop
        self._size = trace.size_bytes()
        self._start: tuple[int, tuple[object, ...]] | None = None
        """Where counting began, and the state there."""
        self._ended = False
        self._stop = False
        self._thread = threading.Thread(target=self._work, name="pvreplay-second", daemon=True)
        self._thread.start()

    def is_due(self, offset: int) -> bool:
        """Whether the first thread, at the chunk at *offset*, is where this one began or beyond."""
        self.front = offset
        return self._start is not None and offset >= self._start[0]

    def joined(self, offset: int, state: State, waiting: Callable[[int], None] | None) -> bool:
        """Whether what this thread counted is right: it began at *offset*, with *state*.

        Returns when it is done, and the trace it was made for knows then what is known at its end;
        *waiting* is told meanwhile how many events were read.  When it is not right, the thread has
        stopped.
        """
        if self._first.damage or self._start != (offset, state.picture()):
            self.end()
            return False
        while self._thread.is_alive():
            self._thread.join(_ASKED_S)
            if waiting is not None:
                waiting(self.events)
        sequences = state.st[S_SEQUENCES] + self.state.st[S_SEQUENCES]
        if not self._ended or sequences > MAX_SEQUENCES:
            return False
        self._first.end_as(self.trace)
        return True

    def end(self) -> None:
        """Stop, if it is not done; return when it has."""
        self._stop = True
        self._thread.join()

    # --- in the thread ---------------------------------------------------------

    def _work(self) -> None:
        try:
            self._ended = self._through()
        except Exception:  # the first thread comes to the same event, and says it
            self._ended = False

    def _through(self) -> bool:
        """Go through the trace; False when it was stopped, or something in it cannot be."""
        state, warm_until, counting = self.state, -1, False
        self.trace.trusted = True
        for chunk in self.trace.chunks():
            if self._stop or len(self.tasks) > _MOST_TASKS:
                return False
            if warm_until < 0 and self._is_half_way(chunk.offset):
                state.scouted()
                warm_until = self.events + WARM_EVENTS
                self.trace.trusted = False
            elif not counting and 0 <= warm_until <= self.events:
                state.forget_counts()
                self._start = chunk.offset, state.picture()
                counting = True
            if not self._take(chunk, scouting=warm_until < 0):
                return False
            if counting:
                self.counted += len(chunk.events) // 2
        if counting:
            state.finish(self._loop)
        return counting

    def _is_half_way(self, offset: int) -> bool:
        return 2 * offset + _EVENT_BYTES * WARM_EVENTS >= self.front + self._size

    def _take(self, chunk: Chunk, *, scouting: bool) -> bool:
        state = self.state
        for task in chunk.tasks:
            state.define(task)
        for cpu, task_id in chunk.on:
            state.runs_on(cpu, task_id)
        state.allow_ops(len(self.trace.meta.ops))
        state.at = 0
        if scouting:
            status = state.scout(self._loop, chunk.events)
        else:
            status = state.run(self._loop, chunk.events, self.events)
        self.tasks += chunk.tasks
        self.events += len(chunk.events) // 2
        return status == 0
