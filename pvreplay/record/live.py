"""Pages that are still coming, as a RawSource: merged by time as far as every CPU has been read.

A CPU that has records takes part in the merge with them.  One that has none
holds the others back at its bound: the time before which it can bring nothing
any more.  What is held in memory is one region of records a CPU and the
readers' queues, however long the recording is.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pvreplay.errors import UsageError
from pvreplay.record.reader import CpuReader, Readers
from pvreplay.record.snapshot import Record
from pvreplay.record.tracefs import Instance
from pvreplay.sources import _merge_cy as merging
from pvreplay.sources import _ring_cy as ring
from pvreplay.sources import records as rec
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.formats import PageHeader, parse_format
from pvreplay.sources.pages import NO_LIMIT, PageSource, PageStream, page_layout

WAIT_S: Final = 0.25
"""The longest wait before the end of the recording is looked for again."""
NO_TYPE: Final = 0
"""A record type that stands for nothing."""
MAX_LOST: Final = 0xFFFFFFFF


class _Blocks:
    """The blocks a reader has now; it may have more after it had none."""

    def __init__(self, readers: Readers, reader: CpuReader) -> None:
        self._readers = readers
        self._reader = reader

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self._readers.take(self._reader)
        if block is None:
            raise StopIteration
        return block


def programs_of(instance: Instance) -> tp.Programs:
    """The decoders of the events that are switched on, by the kernel's own formats."""
    programs = tp.Programs()
    for event in instance.enabled:
        system, _, name = event.partition(":")
        path = instance.file("events", system, name, "format")
        programs.add(parse_format(instance.read("events", system, name, "format"), system, path))
    return programs


class LiveSource(PageSource):
    """The records of a recording under way (see ``records.RawSource``).

    *first* are records that come before all others: a snapshot of the tasks, their names numbered by
    :meth:`add_names`.  *check* is called often, and ends the recording when it is time.
    """

    def __init__(
        self,
        instance: Instance,
        readers: Readers,
        header: PageHeader,
        programs: tp.Programs,
        check: Callable[[], None],
    ) -> None:
        programs.word_bits = header.commit_size * 8
        streams = [PageStream(reader.cpu, _Blocks(readers, reader)) for reader in readers.all]
        super().__init__(instance.path, streams, page_layout(header, header.page_size), programs)
        self.enabled = frozenset(instance.enabled)
        self.clock = instance.clock
        self.first: deque[Record] = deque()
        self.lost = 0
        """Events the kernel says were lost, told so far."""
        self._instance = instance
        self._readers = readers
        self._check = check
        self._told = [0] * len(streams)
        self._tail_told = False

    def add_names(self, names: Iterable[bytes]) -> dict[bytes, int]:
        """Name -> its number in :attr:`comms`."""
        return self._comms.add(names)

    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it; waits while there is nothing."""
        n = self._hand_out_first(words, start)
        while n == start:
            self._check()
            version = self._readers.version
            # Asked before merging: a CPU that ends meanwhile still holds records of others back.
            ended = all(reader.ended for reader in self._readers.all)
            n = self._merge(words, start)
            if n > start:
                break
            if ended:
                n = self._tell_the_rest(words, start)
                if n == start:
                    self._finish()
                return n
            self._readers.ask_idle()
            self._readers.wait(version, WAIT_S)
        return n

    def _hand_out_first(self, words: memoryview, start: int) -> int:
        n = start
        room = len(words) // rec.RECORD_WORDS
        while self.first and n < room:
            for place, word in enumerate(self.first.popleft()):
                words[n * rec.RECORD_WORDS + place] = word
            n += 1
        return n

    def _merge(self, words: memoryview, start: int) -> int:
        """Merge what can be merged now."""
        n = start
        while True:
            limit = self._refill_all()
            n = merging.merge(
                self._words, self._runs, len(self._streams), self._heap, limit, True, words, n,
                self._merge_state,
            )  # fmt: skip
            if self._merge_state[0] < 0:
                return n

    def _refill_all(self) -> int:
        """Decode for every CPU that has no records left; the time up to which all can be merged."""
        limit = NO_LIMIT
        for number, reader in enumerate(self._readers.all):
            while self._runs[2 * number] >= self._runs[2 * number + 1]:
                self._refill(number)
                if self._runs[2 * number] < self._runs[2 * number + 1]:
                    break
                with self._readers.changed:
                    if reader.blocks:
                        continue  # a block came in between: the bound may be that of later ones
                    if not reader.ended:
                        limit = min(limit, max(reader.bound_ns, self._streams[number].state[ring.TIME]))
                break
        return limit

    # --- losses ------------------------------------------------------------------------------
    def _decode(self, stream: PageStream, first: int, found: int) -> int:
        missed = stream.state[ring.MISSED]
        number = self._streams.index(stream)
        if missed:
            stream.known_lost = self._news_of_loss(number)
        found = super()._decode(stream, first, found)
        if missed:
            for at in range(first * rec.RECORD_WORDS, found * rec.RECORD_WORDS, rec.RECORD_WORDS):
                if self._words[at + 1] >> 16 & 0xFF == rec.LOST:
                    count = self._words[at + 2]
                    if count:
                        self._told[number] += count
                        self.lost += count
                    elif self._told[number]:
                        # The statistics read at an earlier gap had this one in them already.
                        self._words[at + 1] &= ~(0xFF << 16)
        return found

    def _news_of_loss(self, number: int) -> int:
        """Events lost on a CPU by its statistics that no record has told yet."""
        try:
            lost = self._instance.stats(self._readers.all[number].cpu).lost
        except UsageError:
            return 0
        return min(MAX_LOST, max(0, lost - self._told[number]))

    def _tell_the_rest(self, words: memoryview, start: int) -> int:
        """LOST records for what was lost after the last page of each CPU."""
        n = start
        if self._tail_told:
            return n
        self._tail_told = True
        time = max((stream.state[ring.TIME] for stream in self._streams), default=0)
        for number, reader in enumerate(self._readers.all):
            count = self._news_of_loss(number)
            if count and n < len(words) // rec.RECORD_WORDS:
                record = rec.record(time, reader.cpu, rec.LOST, 0, count)
                words[n * rec.RECORD_WORDS : (n + 1) * rec.RECORD_WORDS] = memoryview(array("Q", record))
                self._told[number] += count
                self.lost += count
                n += 1
        return n

    def _finish(self) -> None:
        super()._finish()
        errors = [reader.error for reader in self._readers.all if reader.error]
        if errors and not self.damage:
            self.damage = errors[0]
