"""Ring-buffer pages of a file, decoded in segments by several threads, merged by the one that asks.

A CPU's pages come in pieces (``pieces.py``).  A segment is a piece being decoded: pages hold
absolute times, so no segment needs the one before it.  Each CPU has a few segments under way; they
are taken in the file's order, so that records, names, doubts and damage are the same however many
threads there are, one included.

What a thread cannot know is which number a new name gets.  It takes the names numbered so far, and
numbers new ones on from there for itself; they get their numbers when the segment is taken.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pvreplay.sources import _ring_cy as ring
from pvreplay.sources import _tracepoint_cy as payloads
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.pages import PageSource, PageStream
from pvreplay.sources.pieces import Data, Piece
from pvreplay.sources.records import RawSource

if TYPE_CHECKING:
    from queue import SimpleQueue

SEGMENT: Final = 16384
"""Records a segment has room for at a time, and the least."""
SEGMENT_LEAST: Final = 64
ALL_SEGMENTS: Final = 1 << 19
"""Records in all segments together (16 MiB), if SEGMENT_LEAST allows."""
BYTES_A_RECORD: Final = 44
"""Bytes of pages for each record there is room for: few events that are read are smaller."""
MOST_JOBS: Final = 8
"""More threads than this decode faster than one can merge."""


def segment_records(streams: int) -> int:
    """The records a segment has room for: four segments of each CPU have to fit."""
    return max(SEGMENT_LEAST, min(SEGMENT, ALL_SEGMENTS // (4 * max(1, streams))))


def piece_bytes(streams: int, page_size: int) -> int:
    """The size of pieces that :class:`SegmentSource` takes well: whole pages."""
    return max(1, segment_records(streams) * BYTES_A_RECORD // page_size) * page_size


class SegmentStream(PageStream):
    """The pages of one CPU (of one tracing instance) in pieces."""

    __slots__ = ("current", "failed", "pending", "pieces", "position", "tail")

    def __init__(self, cpu: int, pieces: Iterator[Piece], instance: int = 0, known_lost: int = -1) -> None:
        super().__init__(cpu, iter(()), instance, known_lost)
        self.pieces = pieces
        self.pending: deque[Segment] = deque()
        self.current: Segment | None = None
        self.position = 0
        """Bytes of all pieces that became segments."""
        self.failed = False
        """A piece had less than it should: what follows it is not read."""
        self.tail = -1
        """Where the records of a last page that is cut go; -1 before that is reached."""


class Segment:
    """A piece being decoded into the records from *first* on."""

    __slots__ = (
        *("carry", "data", "done", "end", "error", "first", "found", "fresh", "incomplete", "known", "piece"),
        *("problem", "ready", "room", "short", "state", "stream", "unnamed"),
    )

    def __init__(self, stream: SegmentStream, piece: Piece, carry: bytes, first: int, room: int) -> None:
        from _thread import allocate_lock

        self.stream = stream
        self.piece = piece
        self.carry = carry
        """The start of a page whose end stands in this piece."""
        self.first = self.found = first
        self.room = room
        self.data: memoryview | None = None
        self.end = 0
        self.state = array("Q", bytes(8 * ring.STATE_INTS))
        self.known = 0
        self.fresh: array[int] | None = None
        """The words of names that were not known, numbered from *known* on."""
        self.short = self.unnamed = 0
        self.problem = ""
        self.incomplete = False
        self.error: Exception | None = None
        self.done = False
        self.ready = allocate_lock()
        self.ready.acquire()

    def run(self, decoder: Decoder) -> None:
        """Decode the first records; what is raised is kept for whoever takes the segment."""
        try:
            decoder.decode(self)
        except Exception as error:
            self.error = error
        finally:
            self.done = True
            self.ready.release()

    def exhausted(self, page_size: int) -> bool:
        """Whether all its whole pages are decoded."""
        return self.state[ring.EVENT] == 0 and self.end - self.state[ring.PAGE] < page_size

    def rest(self) -> bytes:
        """What is left behind the last whole page."""
        return b"" if self.data is None else bytes(self.data[self.state[ring.PAGE] : self.end])


class Decoder:
    """What one thread decodes with; its names are a copy of those in *shared*."""

    def __init__(
        self,
        words: memoryview,
        layout: array[int],
        programs: tp.Programs,
        lost_slot: int,
        cycles: tuple[int, int, int] | None,
        shared: tp.CommTable,
    ) -> None:
        self._words = words
        self._layout = layout
        self._programs = programs
        self._lost_slot = lost_slot
        self._cycles = cycles
        self._shared = shared
        self._known = 1
        self._keys = array("Q", bytes(16))
        self._table = array("I")
        self._state = array("q", [1, 0, 0, 0])
        self._memo = array("Q", bytes(8 * 3 * 64))

    def decode(self, segment: Segment) -> None:
        """Decode the next records of a segment, as many as there is room for."""
        if segment.data is None:
            data: Data
            data, segment.problem = segment.piece.load()
            segment.incomplete = len(data) < segment.piece.size
            segment.data = memoryview(segment.carry + bytes(data) if segment.carry else data)
            segment.end = len(segment.data)
        first, stream = segment.first, segment.stream
        segment.found = found = ring.scan(
            segment.data, segment.end, self._layout, self._programs.slots, stream.cpu, self._lost_slot,
            self._words, first, first + segment.room, segment.state,
        )  # fmt: skip
        segment.fresh = None
        if found > first:
            self._learn(found - first)
            state = self._state
            segment.found = found = payloads.decode(
                segment.data, self._words, first, found, stream.instance << 28, self._programs.rows,
                self._programs.numbers, self._keys, self._table, state, self._memo,
            )  # fmt: skip
            if self._cycles is not None:
                ring.scale_times(self._words, first, found, *self._cycles)
            segment.known, segment.short, segment.unnamed = self._known, state[1], state[2]
            state[1] = state[2] = 0
            if state[0] > self._known:
                segment.fresh = self._keys[2 * self._known : 2 * state[0]]
                self._forget()
        if segment.exhausted(self._layout[0]):
            left = segment.rest()
            segment.state[ring.PAGE], segment.end = 0, len(left)
            segment.data = memoryview(left)
            segment.piece.release()

    def _learn(self, events: int) -> None:
        """Take over the names that have been numbered, and make room for two new ones an event."""
        count = len(self._shared.names)
        need = min(count + 2 * events + 1, 0x1000000 + 1)
        if need * 2 > len(self._keys):
            size = 1 << (need - 1).bit_length()
            self._keys.frombytes(bytes(8 * (size * 2 - len(self._keys))))
            self._table = array("I", bytes(4 * size * 2))
            payloads.rehash(self._keys, self._known, self._table)
        if count > self._known:
            self._keys[2 * self._known : 2 * count] = self._shared.keys[2 * self._known : 2 * count]
            payloads.enter(self._keys, self._known, count, self._table)
            self._known = self._state[0] = count

    def _forget(self) -> None:
        """Forget the names that have no number yet."""
        payloads.forget(self._keys, self._known, self._state[0], self._table)
        self._state[0] = self._known
        self._memo = array("Q", bytes(8 * len(self._memo)))


def _work(queue: SimpleQueue[Segment | None], decoder: Decoder) -> None:
    """A thread: decode what is in the queue, up to the first None."""
    while (segment := queue.get()) is not None:
        segment.run(decoder)


class SegmentSource(PageSource):
    """A RawSource over the pages of several CPUs in pieces, decoded by *jobs* threads.

    One of them is the thread that calls ``fill``: it decodes what is waiting when what it needs is
    not there yet.  :meth:`begin` starts the others, if it is called before.  They end with the
    source.  Parameters otherwise as in ``pages.PageSource``.
    """

    _threads: SimpleQueue[Segment | None] | None = None
    """Where the threads get their work, None without any."""

    def __init__(
        self,
        path: str,
        streams: list[SegmentStream],
        layout: array[int],
        programs: tp.Programs,
        cycles: tuple[int, int, int] | None = None,
        jobs: int = 1,
    ) -> None:
        self._jobs = jobs = min(jobs, MOST_JOBS)
        self._waiting: deque[Segment] = deque()
        self._segment = segment_records(len(streams))
        self._ahead = 1 if jobs < 2 else jobs // max(1, len(streams)) + 2
        """Segments of a CPU that are under way besides the one being merged."""
        super().__init__(path, list(streams), layout, programs, cycles)
        self._free = list(range(max(1, len(streams)) * (self._ahead + 1)))
        self._cpus = streams
        self._decoder = self._new_decoder()

    def _regions(self, streams: int) -> tuple[int, int]:
        return self._segment, streams * (self._ahead + 1)

    def _new_decoder(self) -> Decoder:
        return Decoder(self._words, self._layout, self._programs, self._lost_slot, self._cycles, self._comms)

    # --- threads ---------------------------------------------------------------------------------
    def begin(self) -> None:
        """Start the other threads, and give them their first work."""
        if self._jobs > 1 and self._threads is None and not self._ended:
            from queue import SimpleQueue
            from threading import Thread

            self._threads = SimpleQueue()
            for _ in range(self._jobs - 1):
                work = Thread(
                    target=_work,
                    args=(self._threads, self._new_decoder()),
                    name="pvreplay-pages",
                    daemon=True,
                )
                work.start()
        for stream in self._cpus:
            self._submit(stream)

    def _end_threads(self) -> None:
        if self._threads is not None:
            for _ in range(self._jobs - 1):
                self._threads.put(None)
            self._threads = None

    def __del__(self) -> None:
        self._end_threads()

    def _wait(self, segment: Segment) -> None:
        """Come back when a segment is decoded, and decode what waits until then."""
        queue = self._threads
        if queue is None:
            while not segment.done:
                self._waiting.popleft().run(self._decoder)
            return
        from queue import Empty

        while not segment.done:
            try:
                other = queue.get_nowait()
            except Empty:
                segment.ready.acquire()
                return
            assert other is not None
            other.run(self._decoder)

    # --- segments --------------------------------------------------------------------------------
    def _start(self) -> None:
        self.begin()
        super()._start()

    def _submit(self, stream: SegmentStream) -> None:
        """Have segments of a CPU decoded ahead."""
        page_size = self._layout[0]
        while len(stream.pending) < self._ahead and not stream.failed:
            carry = b""
            if stream.position % page_size:
                # A page goes on in the next piece: that needs what is left of the one before.
                if stream.pending or (stream.current and not stream.current.exhausted(page_size)):
                    break
                carry = stream.rest
            piece = next(stream.pieces, None)
            if piece is None:
                break
            stream.position += piece.size
            segment = Segment(stream, piece, carry, self._free.pop() * self._segment, self._segment)
            stream.pending.append(segment)
            if self._threads is None:
                self._waiting.append(segment)
            else:
                self._threads.put(segment)

    def _refill(self, number: int) -> None:
        """Let the region of a stream be that of its next segment with a record."""
        stream = self._cpus[number]
        while True:
            segment = stream.current
            if segment is not None and not segment.exhausted(self._layout[0]):
                self._decoder.decode(segment)  # there was no room for all of it
            else:
                if segment is not None:
                    self._free.append(segment.first // self._segment)
                    stream.current = None
                self._submit(stream)
                if not stream.pending:
                    break
                segment = stream.current = stream.pending.popleft()
                self._wait(segment)
                if segment.error is not None:
                    self._end_threads()
                    raise segment.error
            self._take(segment)
            self._submit(stream)
            if segment.found > segment.first:
                self._set_run(number, segment.first, segment.found)
                return
        if stream.tail < 0:
            # What is left may be the start of a page.
            stream.tail = self._free.pop() * self._segment
            stream.data, stream.end = memoryview(stream.rest), len(stream.rest)
        self._set_run(number, stream.tail, self._read(stream, stream.tail, stream.tail + self._segment))

    def _take(self, segment: Segment) -> None:
        """Add what a segment tells besides its records; the names it found get their numbers."""
        stream, state = segment.stream, segment.state
        if segment.problem:
            self.damage = self.damage or segment.problem
            segment.problem = ""
        if segment.incomplete:
            stream.failed = True
            stream.pending.clear()
        self._doubt("short_payload", segment.short)
        self._doubt("names_not_kept", segment.unnamed)
        segment.short = segment.unnamed = 0
        stream.state[ring.BAD_PAGES] += state[ring.BAD_PAGES]
        missed = state[ring.MISSED]
        state[ring.BAD_PAGES] = state[ring.MISSED] = 0
        if segment.fresh is not None:
            self._name(segment)
        if missed and stream.known_lost > 0:
            self._tell_lost(stream, segment.first, segment.found)
        if segment.exhausted(self._layout[0]):
            stream.rest = segment.rest()

    def _name(self, segment: Segment) -> None:
        """Number the names a segment found; others may have found them too since."""
        fresh, comms = segment.fresh, self._comms
        assert fresh is not None
        comms.make_room(len(fresh) // 4 + 1)
        numbers = array(
            "I",
            [
                payloads.number_of(fresh[at], fresh[at + 1], comms.keys, comms.table, comms.state)
                for at in range(0, len(fresh), 2)
            ],
        )
        comms.collect()
        if numbers != array("I", range(segment.known, segment.known + len(numbers))):
            payloads.renumber(self._words, segment.first, segment.found, segment.known, numbers)

    def _finish(self) -> None:
        self._end_threads()
        super()._finish()


def with_threads(make: Callable[[int], SegmentSource], size_bytes: int) -> RawSource:
    """A source made for as many threads as there may be and as its size is worth, at work already.

    With two, one reads and replays, and decodes what it would wait for.  With more, the merge has
    a thread of its own.
    """
    from pvreplay.sources.ahead import WORTH_BYTES, Ahead
    from pvreplay.sources.parallel import jobs

    count = jobs() if size_bytes >= WORTH_BYTES else 1
    source = make(count - 1 if count > 2 else count)
    if count > 1:
        source.begin()
    return Ahead(source) if count > 2 else source
