"""A source read ahead by a second thread, while what it gave before is recovered and replayed.

All three spend their time in compiled code that leaves Python's lock alone, so on two CPUs a
recording takes about as long as its slower half.  The records, their order, and everything else a
source says are the same as without the thread.
"""

from __future__ import annotations

import threading
from array import array
from queue import SimpleQueue
from typing import Final

from pvreplay.sources.parallel import jobs
from pvreplay.sources.records import RECORD_BYTES, RECORD_WORDS, RawSource

WORTH_BYTES: Final = 1 << 22
"""A smaller recording is read before the thread has started."""
BLOCK: Final = 32768
"""Records handed over at a time (1 MiB): a hand-over costs as much as decoding a thousand."""
BLOCKS: Final = 3
"""One being filled, one waiting, one being read."""

Filled = tuple[memoryview, int, int, BaseException | None]
"""A block, the records in it, where reading stood before, and what was raised."""


def read_ahead(source: RawSource, size_bytes: int) -> RawSource:
    """*source*, read ahead when it is large enough and a second thread may do it."""
    if size_bytes < WORTH_BYTES or jobs() < 2:
        return source
    return Ahead(source)


class Ahead:
    """A RawSource that is *inner*, read ahead (see ``records.RawSource``).

    What *inner* raises while reading is raised by :meth:`fill`.  The thread starts with the first
    ``fill`` and ends with the source, when nobody has this object any more, or with the process.
    """

    def __init__(self, inner: RawSource) -> None:
        self._started = False
        self._inner = inner
        self.path = inner.path
        self.format = inner.format
        self.origin = inner.origin
        self.clock = inner.clock
        self.word_bits = inner.word_bits
        self.enabled = inner.enabled
        self.comms = inner.comms
        self.doubts = inner.doubts
        self.damage = inner.damage
        self.offset = inner.offset
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._full: SimpleQueue[Filled] = SimpleQueue()
        self._block = memoryview(b"").cast("Q")
        self._at = self._count = 0
        self._ended = False

    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it."""
        n, room = start, len(words) // RECORD_WORDS
        while n < room and (self._at < self._count or self._next()):
            count = min(room - n, self._count - self._at)
            first = self._at * RECORD_WORDS
            words[n * RECORD_WORDS : (n + count) * RECORD_WORDS] = self._block[
                first : first + count * RECORD_WORDS
            ]
            n += count
            self._at += count
        return n

    def _next(self) -> bool:
        """Take the next block; False at the end."""
        if self._ended:
            return False
        if self._started:
            self._free.put(self._block)
        else:
            self._started = True
            for _ in range(BLOCKS):
                self._free.put(memoryview(array("Q", bytes(RECORD_BYTES * BLOCK))))
            threading.Thread(
                target=_read, args=(self._inner, self._free, self._full), name="pvreplay-decode", daemon=True
            ).start()
        self._block, self._count, self.offset, error = self._full.get()
        self._at = 0
        if error is not None or not self._count:
            self._ended = True
            self.damage = self._inner.damage
            if error is not None:
                raise error
        return not self._ended

    def __del__(self) -> None:
        if self._started:
            self._free.put(None)


def _read(inner: RawSource, free: SimpleQueue[memoryview | None], full: SimpleQueue[Filled]) -> None:
    """The thread: fill blocks until the source ends, or there is nobody to fill them for."""
    count, error = 1, None
    while count and (block := free.get()) is not None:
        offset = inner.offset
        try:
            count = inner.fill(block, 0)
        except BaseException as raised:  # handed to the reader, who raises it
            count, error = 0, raised
        full.put((block, count, offset, error))
