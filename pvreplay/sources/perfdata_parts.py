"""A perf.data decoded in parts, by several threads at once.

The records are cut at every PART_BYTES of the file.  Where in a part its first record begins is a
guess (``_perfwalk_cy.part``), so a part counts only when the records before it end exactly there;
``perfdata.py`` puts the parts together, and reads anew what does not fit.  What a part tells
depends on nothing before it: its marks of rounds and its numbers of names are its own.

The thread that puts together takes parts to decode as well whenever the next is not ready.
"""

from __future__ import annotations

import threading
from array import array
from queue import Empty, SimpleQueue
from typing import Final

from pvreplay.sources import _perfdata_cy as engine
from pvreplay.sources import _perfwalk_cy as walking
from pvreplay.sources import records as rec
from pvreplay.sources.comms import Known, PartComms
from pvreplay.sources.perfdata_recording import Recording
from pvreplay.sources.streams import Mapped
from pvreplay.sources.tracepoints import CommTable

PART_BYTES: Final = 1 << 21
"""Bytes of a part: large beside what it costs to hand one over."""
PART_RECORDS: Final = 32768
"""Records a part has room for (1 MiB), 64 bytes of the file each."""
MOST_THREADS: Final = 8
"""More decode faster than one can merge and replay."""
BUFFER: Final = 1 << 19
"""Bytes read at a time, into a buffer that stays in the cache.  A mapped file would be read as fast by
one thread, but whenever one gives pages back all others are interrupted."""
SPARE: Final = 2
"""Parts beyond one a thread: decoded and waiting."""

_ZERO_STATE: Final = array("Q", bytes(8 * engine.STATE_INTS))
_ZERO_TYPES: Final = array("q", bytes(8 * 256))


class Part:
    """A part's records and counts; used again for another part when they have been merged."""

    __slots__ = ("comms", "count", "error", "index", "start", "state", "types", "words")

    def __init__(self) -> None:
        self.words = memoryview(array("Q", bytes(rec.RECORD_BYTES * PART_RECORDS)))
        self.state = _ZERO_STATE[:]
        self.types = _ZERO_TYPES[:]
        self.comms = PartComms()
        self.index = 0
        self.start = -1
        """Where its first record begins, -1 when nothing looks like it."""
        self.count = 0
        self.error: BaseException | None = None


class _Work:
    """What the threads share.  They know nothing of the reader, so they end when it is forgotten."""

    def __init__(self, about: Recording, mapped: Mapped, base: int, end: int, known: Known) -> None:
        self.about = about
        self.mapped = mapped
        self.base = base
        self.end = end
        self.known = known
        self.waiting: SimpleQueue[Part | None] = SimpleQueue()
        self.done: SimpleQueue[Part] = SimpleQueue()

    def decode(self, part: Part, buffer: bytearray) -> None:
        """Decode one part."""
        about, layouts, programs = self.about, self.about.layouts, self.about.programs
        start = self.base + part.index * PART_BYTES
        until = start + PART_BYTES
        state, comms = part.state, part.comms
        part.count = 0
        state[:] = _ZERO_STATE
        part.types[:] = _ZERO_TYPES
        comms.start(self.known)
        while True:
            part.count = walking.part(
                self.mapped.file, start, self.end, until, buffer, layouts.rows, layouts.id_at,
                layouts.tail_id, layouts.ids, programs.slots, about.side, layouts.twins, part.words,
                part.count, part.types, state, programs.rows, programs.numbers, comms.keys, comms.table,
                comms.state, comms.memo,
            )  # fmt: skip
            if state[engine.STATUS] != engine.COMMS:
                break
            comms.make_room(walking.BATCH)
            start = state[engine.POS]
        part.start = state[engine.START] - 1

    def run(self) -> None:
        """A thread: decode parts until there are no more."""
        buffer = bytearray(BUFFER)
        while (part := self.waiting.get()) is not None:
            try:
                self.decode(part, buffer)
            except BaseException as raised:  # handed to the reader, who raises it
                part.error = raised
            self.done.put(part)


class Parts:
    """The parts of a file's records from *base* to *end*, decoded ahead by *threads* threads.

    Threads start with the first :meth:`take` and end at :meth:`close`, with the object, or with the
    process.
    """

    def __init__(
        self, about: Recording, mapped: Mapped, base: int, end: int, comms: CommTable, threads: int
    ) -> None:
        self._work = _Work(about, mapped, base, end, Known(comms))
        self._buffer = bytearray(BUFFER)
        self._threads = max(1, min(threads, MOST_THREADS)) - 1
        self._started = False
        self._next = 0
        self._last = (end - base + PART_BYTES - 1) // PART_BYTES
        self._ready: dict[int, Part] = {}
        self._out = 0

    def take(self, index: int) -> Part | None:
        """Part number *index*, numbers ascending from call to call; None when there is none.

        It belongs to the caller until :meth:`give_back`.  Raises what its decoding raised.
        """
        if not self._started:
            self._start(index)
        while self._out or self._ready:
            found = min(self._ready, default=index + 1)
            if found <= index:
                part = self._ready.pop(found)
                if found == index:
                    if part.error is not None:
                        error, part.error = part.error, None
                        self.close()
                        raise error
                    return part
                self.give_back(part)
            else:
                self._wait()
        return None

    def give_back(self, part: Part) -> None:
        """Let *part* be used for a part further on."""
        if self._next < self._last:
            part.index = self._next
            self._next += 1
            self._out += 1
            self._work.waiting.put(part)

    def tell(self, comms: CommTable) -> None:
        """Let parts decoded from now on know the names in *comms*."""
        if comms.state[0] != self._work.known.count:
            self._work.known = Known(comms)

    def close(self) -> None:
        """End the threads, and wait for what they are at: nothing reads the recording's tables then."""
        work = self._work
        self._next = self._last
        while True:
            try:
                if work.waiting.get_nowait() is not None:
                    self._out -= 1
            except Empty:
                break
        while self._out:
            work.done.get()
            self._out -= 1
        self._ready.clear()
        self._end_threads()

    def _end_threads(self) -> None:
        for _ in range(self._threads if self._started else 0):
            self._work.waiting.put(None)
        self._threads = 0

    def __del__(self) -> None:
        self._end_threads()

    def _start(self, index: int) -> None:
        self._started = True
        self._next = index
        for _ in range(self._threads + 1 + SPARE):
            if self._next < self._last:
                self.give_back(Part())
        for _ in range(self._threads):
            threading.Thread(target=self._work.run, name="pvreplay-decode", daemon=True).start()

    def _wait(self) -> None:
        """Decode a part that no thread has taken; wait for one that is ready when there is none."""
        work = self._work
        try:
            part = work.done.get_nowait()
        except Empty:
            try:
                other = work.waiting.get_nowait()
            except Empty:
                part = work.done.get()
            else:
                assert other is not None
                part = other
                try:
                    work.decode(part, self._buffer)
                except Exception as raised:  # the parts before this one come first
                    part.error = raised
        self._out -= 1
        self._ready[part.index] = part
