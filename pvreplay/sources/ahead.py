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


def read_ahead(source: RawSource, size_bytes: int) -> RawSource:
    """*source*, read ahead when it is large enough and a second thread may do it."""
    if size_bytes < WORTH_BYTES or jobs() < 2:
        return source
    return Ahead(source)


class Ahead:
    """A RawSource that is *inner*, read ahead (see ``records.RawSource``).

    What *inner* raises while reading is raised by :meth:`fill`.  The thread starts with the first
    ``fill`` and ends with the source, or with the process.
    """

    def __init__(self, inner: RawSource) -> None:
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
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._full: SimpleQueue[tuple[memoryview, int, int, BaseException | None]] = SimpleQueue()
        self._block = memoryview(b"").cast("Q")
        self._at = self._count = 0
        self._started = self._ended = False

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
            threading.Thread(target=self._read, name="pvreplay-decode", daemon=True).start()
        self._block, self._count, self.offset, error = self._full.get()
        self._at = 0
        if error is not None or not self._count:
            self._ended = True
            self.damage = self._inner.damage
            if error is not None:
                raise error
        return not self._ended

    def _read(self) -> None:
        """The thread: fill blocks until the source ends."""
        count, error = 1, None
        while count:
            block = self._free.get()
            offset = self._inner.offset
            try:
                count = self._inner.fill(block, 0)
            except BaseException as raised:  # handed to the reader, who raises it
                count, error = 0, raised
            self._full.put((block, count, offset, error))
