"""Ring-buffer pages of several CPUs as one RawSource: decoded CPU by CPU, merged by time.

trace.dat and directories of raw pages differ only in where a CPU's pages come
from.  Each CPU has a small region of decoded records; when the merge has used
one up, it is filled again.  Memory depends on the number of CPUs alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from mmap import mmap
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import _merge_cy as merging
from pvreplay.sources import _ring_cy as ring
from pvreplay.sources import _tracepoint_cy as payloads
from pvreplay.sources import records as rec
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.formats import PageHeader
from pvreplay.trace.events import CPU_MAX

REGION: Final = 8192
"""Records decoded for a CPU at a time."""
REGION_LEAST: Final = 64
ALL_REGIONS: Final = 1 << 18
"""Records in all regions together (8 MiB), if REGION_LEAST allows."""
MAX_INSTANCES: Final = 16
COMMIT_SIZE: Final = 0x7FFFFFF
"""The part of a page's commit word that is a size; the rest are flags."""
NO_LIMIT: Final = (1 << 64) - 1


class PageStream:
    """The pages of one CPU (of one tracing instance), block by block.

    *blocks* yields buffers; a page may go over the end of one.  *known_lost* is the number of
    events the kernel says were lost on this CPU, -1 when that was not recorded.
    """

    __slots__ = (
        *("blocks", "cpu", "cut", "data", "end", "instance", "known_lost", "rest", "sound", "state"),
    )

    def __init__(
        self, cpu: int, blocks: Iterator[memoryview | bytes], instance: int = 0, known_lost: int = -1
    ) -> None:
        self.cpu = cpu
        self.blocks = blocks
        self.instance = instance
        self.known_lost = known_lost
        self.data: memoryview = memoryview(b"")
        self.end = 0
        self.rest = b""
        self.cut = 0
        """Bytes of a last page that is not whole."""
        self.sound = -1
        """Bad pages before the last one, once that was mended."""
        self.state = array("Q", bytes(8 * ring.STATE_INTS))

    def more(self, page_size: int) -> bool:
        """Get the next block; False when there is none (*cut* then says how much of a page is left)."""
        at = self.state[ring.PAGE]
        self.rest = bytes(self.data[at : self.end])
        block = next(self.blocks, None)
        if block is None:
            self.cut = self.cut or len(self.rest)
            return False
        if self.rest or len(block) < page_size:
            block = self.rest + bytes(block)
        self.data = memoryview(block)
        self.end = len(block)
        self.state[ring.PAGE] = self.state[ring.EVENT] = 0
        return True

    def mend(self, layout: array[int]) -> bool:
        """Make a whole page of one that is cut, with the events that are there; once."""
        page_size, _, commit_at, _, data_at = layout
        if self.sound >= 0 or len(self.rest) < data_at + 4:
            return False
        # The event the cut goes through will end behind the page: that is no fault of the page.
        self.sound = self.state[ring.BAD_PAGES]
        page = bytearray(self.rest + bytes(page_size - len(self.rest)))
        commit = int.from_bytes(page[commit_at : commit_at + 4], "little")
        left = min(commit & COMMIT_SIZE, (len(self.rest) - data_at) // 4 * 4)
        page[commit_at : commit_at + 4] = (commit & ~COMMIT_SIZE | left).to_bytes(4, "little")
        self.data = memoryview(page)
        self.end = page_size
        self.state[ring.PAGE] = self.state[ring.EVENT] = 0
        return True


def page_layout(header: PageHeader, page_size: int) -> array[int]:
    """The numbers ``_ring_cy.scan`` walks pages by."""
    return array(
        "q", [page_size, header.time_offset, header.commit_offset, header.commit_size, header.data_offset]
    )


class PageSource:
    """A RawSource over the pages of several CPUs (see ``records.RawSource``).

    *cycles* is (offset, factor, shift) when the times are cycles that can be turned into ns.
    """

    def __init__(
        self,
        path: str,
        streams: list[PageStream],
        layout: array[int],
        programs: tp.Programs,
        cycles: tuple[int, int, int] | None = None,
    ) -> None:
        for stream in streams:
            if not 0 <= stream.cpu < CPU_MAX:
                raise TraceError(f"{path}: pages of CPU {stream.cpu}", f"CPUs are 0 to {CPU_MAX - 1}.")
        self.path = path
        self.format = ""
        self.origin = ""
        self.clock = ""
        self.word_bits = programs.word_bits
        self.enabled: frozenset[str] | None = None
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._streams = streams
        self._layout = layout
        self._programs = programs
        self._cycles = cycles
        self._comms = tp.CommTable()
        self.comms = self._comms.names
        row = [0] * payloads.PROGRAM_INTS
        row[tp.HANDLER], row[tp.TYPE], row[tp.PID] = tp.VALUE, rec.LOST, -1
        self._lost_slot = programs.add_row(row)
        count = max(1, len(streams))
        self._region, regions = self._regions(count)
        self._words = memoryview(mmap(-1, rec.RECORD_BYTES * self._region * regions)).cast("Q")
        self._runs = array("q", bytes(16 * count))
        self._heap = array("q", bytes(8 * count))
        self._merge_state = array("q", [0, 0])
        self._started = False
        self._ended = False
        several = len({stream.instance for stream in streams}) > 1
        self._seen = array("Q", bytes(40 * CPU_MAX if several else 0))

    def _regions(self, streams: int) -> tuple[int, int]:
        """(records of a region, regions) for a number of streams."""
        return max(REGION_LEAST, min(REGION, ALL_REGIONS // streams)), streams

    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it."""
        if not self._started:
            self._started = True
            self._start()
        room = len(words) // rec.RECORD_WORDS
        state = self._merge_state
        n = start
        ended = False
        while n < room and not ended:
            before = n
            n = merging.merge(
                self._words, self._runs, len(self._streams), self._heap, NO_LIMIT, True, words, n, state
            )
            ended = state[0] < 0 and n < room
            if state[0] >= 0:
                self._refill(state[0])
            if len(self._seen):
                n = merging.drop_twins(words, before, n, merging.TWIN_NS, self._seen)
        if ended:
            self._finish()
        return n

    def _start(self) -> None:
        """Decode the first records of every stream."""
        for number in range(len(self._streams)):
            self._refill(number)

    def _refill(self, number: int) -> None:
        """Decode the next records of one stream into its region."""
        first = number * self._region
        self._set_run(number, first, self._read(self._streams[number], first, first + self._region))

    def _set_run(self, number: int, first: int, end: int) -> None:
        """Let the merge take records [first, end) for a stream."""
        self._runs[2 * number] = first
        self._runs[2 * number + 1] = end

    def _read(self, stream: PageStream, first: int, room: int) -> int:
        """Decode the next records of a stream to *first* .. *room* - 1; their end."""
        found = first
        while found == first:
            found = ring.scan(
                stream.data, stream.end, self._layout, self._programs.slots, stream.cpu, self._lost_slot,
                self._words, first, room, stream.state,
            )  # fmt: skip
            if found > first:
                found = self._decode(stream, first, found)
            elif not stream.more(self._layout[0]) and not stream.mend(self._layout):
                break
        return found

    def _decode(self, stream: PageStream, first: int, found: int) -> int:
        """Turn the events found in a stream into records; their end."""
        missed = stream.state[ring.MISSED]
        stream.state[ring.MISSED] = 0
        self._comms.make_room(found - first)
        found = payloads.decode(
            stream.data, self._words, first, found, stream.instance << 28, self._programs.rows,
            self._programs.numbers, self._comms.keys, self._comms.table, self._comms.state,
            self._comms.memo,
        )  # fmt: skip
        self._comms.collect()
        if self._cycles is not None:
            ring.scale_times(self._words, first, found, *self._cycles)
        if missed and stream.known_lost > 0:
            self._tell_lost(stream, first, found)
        return found

    def _tell_lost(self, stream: PageStream, first: int, last: int) -> None:
        """Give a loss whose page has no count the count of the CPU's statistics."""
        for at in range(first * rec.RECORD_WORDS, last * rec.RECORD_WORDS, rec.RECORD_WORDS):
            if self._words[at + 1] >> 16 & 0xFF == rec.LOST:
                count = self._words[at + 2]
                if count:
                    stream.known_lost = max(0, stream.known_lost - count)
                else:
                    self._words[at + 2] = min(stream.known_lost, 0xFFFFFFFF)
                    stream.known_lost = 0

    def _doubt(self, name: str, count: int) -> None:
        if count:
            self.doubts[name] = self.doubts.get(name, 0) + count

    def _finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._comms.add_doubts(self.doubts)
        for name, count in self._programs.doubts.items():
            self._doubt(name, count)
        for stream in self._streams:
            self._doubt("bad_pages", stream.state[ring.BAD_PAGES] if stream.sound < 0 else stream.sound)
            if stream.cut and not self.damage:
                there = f"{stream.cut} of its bytes are there"
                self.damage = f"the last page of CPU {stream.cpu} is cut ({there})"
