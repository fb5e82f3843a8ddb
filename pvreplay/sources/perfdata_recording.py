"""What a perf.data says about itself: its events, formats, features, and what follows from them.

:class:`Recording` collects attributes and features as they come (at once from
a file's header, one by one from a pipe) and keeps the tables the compiled
scanner needs: layouts of samples, programs, what to do with side-band records.
"""

from __future__ import annotations

from array import array
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import _tracepoint_cy as payloads
from pvreplay.sources import records as rec
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.perfdata_guess import guess_switch
from pvreplay.sources.perfdata_head import (
    CLOCK_NAMES,
    FEATURE_COMPRESSED,
    FEATURE_STRINGS,
    FEATURE_TRACING_DATA,
    FLAG_CONTEXT_SWITCH,
    FLAG_TASK,
    MAX_EVENTS,
    Event,
    FileHeader,
    Layouts,
    feature_string,
)
from pvreplay.sources.perfdata_packed import unpacked_start
from pvreplay.sources.tracinghead import read_perf_tracing_data

CALLER: Final = 255
"""In the table of side-band records: not the scanner's business."""
CALLERS_TYPES: Final = (64, 66, 71, 80, 81, 83)
"""HEADER_ATTR, HEADER_TRACING_DATA, AUXTRACE, HEADER_FEATURE, COMPRESSED, COMPRESSED2."""


class Recording:
    """The descriptions of one perf.data; *damage* says what of them is missing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.origin = "perf"
        self.clock = "perf"
        self.word_bits = 0
        self.enabled: frozenset[str] = frozenset()
        self.damage = ""
        self.compressed = False
        self.programs = tp.Programs()
        self.side = bytearray(256)
        self._side_programs: dict[str, int] = {}
        self._features: dict[str, str] = {}
        self._events: list[Event] = []
        self._layouts: Layouts | None = None
        self._conclude()

    @property
    def layouts(self) -> Layouts:
        """Where the parts of samples stand; made anew when an event or a format was added."""
        if self._layouts is None:
            self._layouts = Layouts(self._events, self.programs.slots)
        return self._layouts

    # --- what comes in ---------------------------------------------------------------------------
    def add_header(self, header: FileHeader, data: memoryview) -> None:
        """All a file's header tells; *data* is the whole file."""
        self.damage = header.damage
        self._events = header.events
        for bit, (at, size) in header.features.items():
            if at + size > len(data):
                self.damage = self.damage or "the file is cut: descriptions behind the records are missing"
                continue
            try:
                self._feature(bit, data[at : at + size], at)
            except TraceError as error:
                self.damage = self.damage or error.message.removeprefix(f"{self.path}: ")
        if not self.programs.known and any(event.is_tracepoint for event in self._events):
            self._guess(data[header.data_at : header.data_at + header.data_size])
        self._conclude()

    def add_attr(self, body: memoryview) -> None:
        """HEADER_ATTR: an attribute of the size it names itself, then its ids."""
        size = int.from_bytes(body[4:8], "little") or 64
        if size < 64 or size > len(body) or len(self._events) >= MAX_EVENTS:
            raise TraceError(f"an event attribute of {size} bytes in a record of {len(body)}")
        ids = array("Q", bytes(body[size : size + (len(body) - size) // 8 * 8])).tolist()
        self._events.append(Event(body[:size], ids))
        self._conclude()

    def add_feature(self, bit: int, data: memoryview, at: int) -> None:
        """HEADER_FEATURE: one section a file would have behind its records."""
        self._feature(bit, data, at)
        self._conclude()

    def add_tracing_data(self, data: memoryview, at: int) -> None:
        """The copy of tracefs's formats, at *at* in the file."""
        head = read_perf_tracing_data(data, tp.WANTED, self.path, at)
        self.programs.add_head(head)
        if head.page is not None:
            self.word_bits = head.page.commit_size * 8
        self._conclude()

    def _feature(self, bit: int, data: memoryview, at: int) -> None:
        if bit == FEATURE_TRACING_DATA:
            self.add_tracing_data(data, at)
        elif bit == FEATURE_COMPRESSED:
            self.compressed = True
        elif bit in FEATURE_STRINGS:
            self._features[FEATURE_STRINGS[bit]] = feature_string(data)

    def _guess(self, data: memoryview) -> None:
        """Without the formats (they stand at the file's end), recognise sched_switch by its content."""
        found = guess_switch(data, self._events) or guess_switch(
            memoryview(unpacked_start(data, self.path)), self._events
        )
        how = "its format texts are missing"
        if found is None:
            self.damage = f"{self.damage or how}; no event could be recognised without its format"
            return
        self.programs.add(found)
        self.damage = (
            f"{self.damage or how}; sched_switch was recognised by its chain of pids, no other event can be"
        )

    # --- what follows ----------------------------------------------------------------------------
    def _conclude(self) -> None:
        """What follows from attributes and features."""
        known = {number: name for name, number in self.programs.known.items()}
        ids = {event.config for event in self._events if event.is_tracepoint}
        self.enabled = frozenset(known[number] for number in ids if number in known)
        self.word_bits = self.word_bits or self.programs.word_bits
        for event in self._events:
            if event.clockid >= 0:
                self.clock = CLOCK_NAMES.get(event.clockid, f"clockid {event.clockid}")
        told = self._features
        system = " ".join(told[key] for key in ("hostname", "release", "arch") if told.get(key))
        perf = f"perf {told['version']}" if told.get("version") else "perf"
        self.origin = f"{perf} on {system}" if system else perf
        self.side[:] = self._sideband()
        self._layouts = None

    def _sideband(self) -> bytes:
        """What to do with each type of record that is not a sample."""
        side = bytearray(256)
        for type in CALLERS_TYPES:
            side[type] = CALLER
        tasks = any(event.flags & FLAG_TASK for event in self._events)
        switches = any(event.flags & FLAG_CONTEXT_SWITCH for event in self._events)
        enabled = self.enabled
        side[1] = side[10] = self._side_program("mmap", tp.PERF_MMAP, rec.INFO, 8, flags=rec.IS_USER)
        side[2] = self._side_program("lost", tp.PERF_LOST, rec.LOST, 16)
        execs = 0 if "sched:sched_process_exec" in enabled else 1
        side[3] = self._side_program(f"comm{execs}", tp.PERF_COMM, rec.RENAME, 8, option=execs)
        if "task:task_newtask" not in enabled:
            side[7] = self._side_program("fork", tp.PERF_TASK, rec.FORK, 16)
            if tasks and "sched:sched_process_fork" in enabled:
                # The side band also says whether the child is a thread: one account of a birth is enough.
                self.programs.slots[self.programs.known["sched:sched_process_fork"]] = 0
        if "sched:sched_switch" not in enabled:
            # perf tells an exit before exit_mm (0.8 ms before on a 6.1 guest); the state in the last
            # switch tells it at the right place.
            side[4] = self._side_program("exit", tp.PERF_TASK, rec.EXIT, 16, option=1)
        if switches and "sched:sched_switch" not in enabled:
            side[14] = self._side_program("in", tp.PERF_SWITCH, rec.SWITCH, 4, flags=rec.NO_PREV)
            side[15] = self._side_program("switch", tp.PERF_SWITCH, rec.SWITCH, 8, option=1)
        return bytes(side)

    def _side_program(
        self, key: str, handler: int, type: int, least: int, flags: int = 0, option: int = 0
    ) -> int:
        """The number of a program for a side-band record, made once."""
        if key not in self._side_programs:
            row = [0] * payloads.PROGRAM_INTS
            row[tp.HANDLER], row[tp.TYPE], row[tp.LEAST] = handler, type, least
            row[tp.PID], row[tp.FLAGS], row[4] = -1, flags, option
            self._side_programs[key] = self.programs.add_row(row)
        return self._side_programs[key]
