"""ftrace text and `perf script` text as a source of raw records.

Bytes are read in blocks and scanned by the compiled ``_text_cy``; each line it leaves goes to the
slow parser.  A stream is read once and never sought.
"""

from __future__ import annotations

from array import array
from typing import Final, Protocol

from pvreplay.sources import _text_cy as fast
from pvreplay.sources.records import RAW_NUMBERS
from pvreplay.sources.textevents import EventParser
from pvreplay.sources.textlines import LineParser

BLOCK_BYTES: Final = 1 << 18
FORMATS: Final = {
    "ftrace": "ftrace text",
    "perf": "perf script text",
    "latency": "ftrace text (latency format)",
    "verbose": "ftrace text (verbose)",
}
_ACTIONS: Final = {
    b"sched_switch": fast.ACT_SWITCH,
    b"tlb_flush": fast.ACT_TLB,
    b"x86_fpu_regs_deactivated": fast.ACT_DEACTIVATED,
    b"x86_fpu_regs_activated": fast.ACT_ACTIVATED,
    b"xen_mmu_write_cr3": fast.ACT_CR3,
    b"sys_enter": fast.ACT_RAW,
    b"sys_exit": fast.ACT_RAW,
}


class Stream(Protocol):
    """What the source reads from."""

    def readinto(self, buffer: memoryview) -> int | None: ...


class TextSource:
    """A decoder (``records.RawSource``) of text in the style ``textsniff.sniff_text`` found.

    *slow* leaves every line to the slow parser (tests); *evidence* wants the records of what a Xen
    guest did, too.
    """

    def __init__(
        self, stream: Stream, style: str, path: str = "-", *, slow: bool = False, evidence: bool = False
    ) -> None:
        self.path = path
        self.format = FORMATS[style]
        self.origin = ""
        self.clock = ""
        self.word_bits = 0
        self.enabled: frozenset[str] | None = None
        self.comms: list[bytes] = [b""]
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._stream = stream
        self._slow = slow or style not in ("ftrace", "perf")
        self._perf = style == "perf"
        self._numbers: dict[bytes, int] = {b"": 0}
        self._events = EventParser(self._intern, evidence)
        self._lines = LineParser(style, self._events)
        self._names = _name_table(self._events.names)
        self._comms = array("Q", bytes(8 * 3 * 256))
        self._state = array("Q", bytes(8 * fast.STATE_WORDS))
        for number in RAW_NUMBERS:
            self._state[fast.S_RAW + number // 64] |= 1 << number % 64
        self._block = bytearray(BLOCK_BYTES)
        self._at = 0
        self._end = 0
        self._read = 0
        self._at_end = False

    def fill(self, words: memoryview, start: int) -> int:
        """Write records from *start* on; the new number of records, *start* at the end."""
        self._state[fast.S_RECORDS] = start
        while self._state[fast.S_RECORDS] == start:
            if self._scan(words):
                break
            if self._at_end:
                self._finish()
                break
            self._read_block()
        self.offset = self._read - (self._end - self._at)
        return self._state[fast.S_RECORDS]

    def _scan(self, words: memoryview) -> bool:
        """Scan the whole lines at hand; True when *words* is full."""
        state, block = self._state, self._block
        last = block.rfind(b"\n", self._at, self._end) + 1
        if self._at_end and self._at < self._end:
            last = self._end
        while self._at < last:
            if 4 * state[fast.S_RECORDS] > len(words) - 16:
                return True
            if not self._slow and not self._lines.pending:
                self._at = fast.scan(
                    block,
                    self._at,
                    last,
                    self._perf,
                    words,
                    self._names,
                    self._comms,
                    self._lines.groups,
                    state,
                )
                if state[fast.S_TIME]:
                    self._lines.last_ns = state[fast.S_TIME]
                if self._at >= last or 4 * state[fast.S_RECORDS] > len(words) - 16:
                    continue
            newline = block.find(b"\n", self._at, last)
            line = bytes(block[self._at : newline])
            self._at = newline + 1
            self._odd_line(line, words)
        return False

    def _odd_line(self, line: bytes, words: memoryview) -> None:
        """A line for the slow parser; one whose name holds a newline takes the next ones, too."""
        state = self._state
        self._put(words, self._lines.parse(line.removesuffix(b"\r")))
        while self._lines.pending and self._at < self._end:
            newline = self._block.find(b"\n", self._at, self._end)
            if newline < 0:
                break
            line = bytes(self._block[self._at : newline])
            self._at = newline + 1
            self._put(words, self._lines.parse(line.removesuffix(b"\r")))
        state[fast.S_TIME] = self._lines.last_ns

    def _put(self, words: memoryview, found: list[tuple[int, int, int, int]]) -> None:
        for record in found:
            at = 4 * self._state[fast.S_RECORDS]
            words[at], words[at + 1], words[at + 2], words[at + 3] = record
            self._state[fast.S_RECORDS] += 1

    def _read_block(self) -> None:
        """More bytes behind what is left of a line."""
        left = self._end - self._at
        if left >= len(self._block) - 1:
            self._doubt("overlong_lines")
            left = 0
            self._at = self._end
        self._block[:left] = self._block[self._at : self._end]
        self._at, self._end = 0, left
        count = self._stream.readinto(memoryview(self._block)[left : len(self._block) - 1]) or 0
        self._end += count
        self._read += count
        if not count:
            self._at_end = True
            if left:
                self._block[left] = 10  # the last line of some recordings has no newline
                self._end += 1

    def _intern(self, name: bytes) -> int:
        """The number of a task's name, in the compiled scanner's table as well."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.comms)
            self.comms.append(name)
            if len(name) <= 15:
                if 6 * number > len(self._comms):
                    self._grow_comms()
                _insert(self._comms, name, number)
        return number

    def _grow_comms(self) -> None:
        self._comms = array("Q", bytes(16 * len(self._comms)))
        for name, number in self._numbers.items():
            if 0 < number < len(self.comms) - 1 and len(name) <= 15:
                _insert(self._comms, name, number)

    def _doubt(self, name: str) -> None:
        self.doubts[name] = self.doubts.get(name, 0) + 1

    def _finish(self) -> None:
        lines = self._lines
        lines.finish()
        self.damage = str(getattr(self._stream, "damage", ""))
        if lines.integer_clock or self._state[fast.S_INTEGER]:
            self.clock = "counts, not seconds (counter, uptime or x86-tsc)"
        missing = lines.missing(self._state[fast.S_ENTRIES], self._state[fast.S_CPUS])
        for name, count in (
            ("unparsed_lines", lines.bad_lines),
            ("overwritten_events", lines.overwritten),
            ("missing_lines", missing),
        ):
            if count:
                self.doubts[name] = count
        lines.bad_lines = lines.overwritten = 0


def _name_table(names: list[bytes]) -> array[int]:
    """Event names -> ACT_*; half empty, so that a search always ends."""
    table = array("Q", bytes(8 * 2 * 256))
    slow = [b"sys_" + name.removeprefix(b"sys_enter_") for name in names if name.startswith(b"sys_enter_")]
    for name in [*names, *slow]:
        value = fast.hash_name(name)
        slot = value & 255
        while table[2 * slot + 1]:
            slot = slot + 1 & 255
        table[2 * slot] = value
        table[2 * slot + 1] = _ACTIONS.get(name, fast.ACT_SLOW)
    return table


def _insert(table: array[int], name: bytes, number: int) -> None:
    mask = len(table) // 3 - 1
    low = int.from_bytes(name[:8], "little")
    high = int.from_bytes(name[8:], "little")
    slot = fast.hash_comm(low, high) >> 32 & mask
    while table[3 * slot + 2]:
        slot = slot + 1 & mask
    table[3 * slot], table[3 * slot + 1], table[3 * slot + 2] = low, high, number
