"""Function and function_graph records of a trace.dat, and its Xen tracepoints, as pv ops.

They are written out as the text the kernel would print of them (with all digits of the time), which
``opstream.py`` reads: what a recording says does not depend on who turned it into text.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from pvreplay.sources import _ring_cy as ring
from pvreplay.sources.formats import Format
from pvreplay.sources.kallsyms import Names
from pvreplay.sources.opstream import HEAD_BYTES, OpTrace, looks_like_ops
from pvreplay.sources.pages import PageStream, page_layout
from pvreplay.sources.rawpages import selected_clock
from pvreplay.sources.streams import Mapped, map_file, map_stream
from pvreplay.sources.symbols import symbols
from pvreplay.sources.taskstate import state_masks
from pvreplay.sources.tracedat_data import pieces
from pvreplay.sources.tracedat_head import CpuData, TraceDat

CALLS: Final = frozenset({"function", "funcgraph_entry", "funcgraph_exit"})
SYSTEMS: Final = ("xen", "tlb", "irq", "irq_vectors")
"""Where the tracepoints of ``symbols.toml`` are."""
PIECE_PAGES: Final = 64
RECORDS: Final = 4096
_LAZY: Final = {0: b"LAZY_NONE", 1: b"LAZY_MMU", 2: b"LAZY_CPU"}
_LOST_SLOT: Final = 2

Event = tuple[int, int, int, int, bytes]
"""(time, number of the CPU's pages, CPU, events lost or -1, payload)."""


class _Wanted(dict[str, frozenset[str]]):
    """The events read here: of Xen's systems those the table of symbols knows."""

    def __init__(self) -> None:
        super().__init__(ftrace=CALLS, sched=frozenset({"sched_switch"}))
        known = frozenset(name.decode() for name in symbols().event_names())
        self.update(dict.fromkeys(SYSTEMS, known))


class OpText:
    """The text of a trace.dat's records, read like a stream; *graph* when it is function_graph's."""

    def __init__(self, mapped: Mapped, dat: TraceDat) -> None:
        self.damage = dat.damage
        self._mapped = mapped
        self._dat = dat
        self._formats = dat.head.formats
        self._names = Names(bytes(dat.kallsyms))
        self.graph = self._holds("funcgraph_entry")
        self._running: dict[int, int] = {}
        self._depth: dict[int, int] = {}
        """The depth of the interrupt function_graph is in on a CPU."""
        switch = next((form for form in self._formats.values() if form.name == "sched_switch"), None)
        self._masks = state_masks(switch.print_fmt) if switch else (0, 0, 0)
        self._lines = self._text()
        self._left = bytearray()

    def look(self, count: int) -> bytes:
        """Up to *count* bytes, which stay."""
        while len(self._left) < count:
            line = next(self._lines, None)
            if line is None:
                break
            self._left += line
        return bytes(self._left[:count])

    def readinto(self, buffer: memoryview) -> int:
        """As a stream has it."""
        data = self.look(len(buffer))
        buffer[: len(data)] = data
        del self._left[: len(data)]
        return len(data)

    # --- records ---------------------------------------------------------------------------------
    def _holds(self, name: str) -> bool:
        """Whether there is an event of that name."""
        return any(lost < 0 for _, _, _, lost, _ in self._merged({name}))

    def _merged(self, names: set[str] | None = None) -> Iterator[Event]:
        """Every event of those *names* (of all that are read, when None), by time."""
        header = self._dat.head.page
        if header is None:
            return iter(())
        slots = bytearray(1 << 16)
        for number, form in self._formats.items():
            if (names is None or form.name in names) and form.id == number <= 0xFFFF:
                slots[number] = 1
        every = [(buffer, cpu) for buffer in self._dat.buffers for cpu in buffer.cpus if cpu.size]
        return heapq.merge(
            *(
                self._of_cpu(number, cpu, page_layout(header, buffer.page_size or header.page_size), slots)
                for number, (buffer, cpu) in enumerate(every)
            )
        )

    def _blocks(self, cpu: CpuData, page_size: int) -> Iterator[memoryview | bytes]:
        for piece in pieces(self._dat, cpu, self._mapped, page_size, PIECE_PAGES * page_size):
            data, problem = piece.load()
            self.damage = self.damage or problem
            yield data
            piece.release()
            if len(data) < piece.size:
                return

    def _of_cpu(self, number: int, cpu: CpuData, layout: array[int], slots: bytearray) -> Iterator[Event]:
        stream = PageStream(cpu.cpu, self._blocks(cpu, layout[0]))
        words = memoryview(bytearray(32 * RECORDS)).cast("Q")
        while True:
            found = ring.scan(
                stream.data, stream.end, layout, slots, cpu.cpu, _LOST_SLOT, words, 0, RECORDS, stream.state
            )
            for at in range(0, 4 * found, 4):
                time, w1, offset, size = words[at : at + 4]
                if w1 >> 16 == _LOST_SLOT:
                    yield time, number, cpu.cpu, offset, b""
                else:
                    yield time, number, cpu.cpu, -1, bytes(stream.data[offset : offset + size])
            if not found and not stream.more(layout[0]) and not stream.mend(layout):
                break
        if stream.cut:
            self.damage = self.damage or f"the last page of CPU {cpu.cpu} is cut"

    # --- text ------------------------------------------------------------------------------------
    def _text(self) -> Iterator[bytes]:
        tracer = b"function_graph" if self.graph else b"function" if self._holds("function") else b"nop"
        yield b"# tracer: " + tracer + b"\n"
        for time, _, cpu, lost, payload in self._merged():
            form = self._formats.get(int.from_bytes(payload[:2], "little"))
            if lost >= 0:
                yield b"CPU:%d [LOST %d EVENTS]\n" % (cpu, lost)
            elif form is not None and len(payload) >= _least(form):
                pid = _number(form, payload, "common_pid")
                line = self._line(form, payload, cpu, pid)
                yield from self._framed(line, time, cpu, pid, form.name) if line else ()

    def _framed(self, line: bytes, time: int, cpu: int, pid: int, name: str) -> Iterator[bytes]:
        seconds, fraction = divmod(time, 10**9)
        if not self.graph:
            yield b"<...>-%d [%03d] .... %d.%09d: %s\n" % (pid, cpu, seconds, fraction, line)
            return
        before = self._running.get(cpu)
        if before is not None and before != pid:
            yield b" %d) <...>-%d => <...>-%d\n" % (cpu, before, pid)
        self._running[cpu] = pid
        head = b"%d.%09d | %d) " % (seconds, fraction, cpu)
        if line.startswith((b"==", b"<==")):
            arrow, _, line = line.partition(b"\n")
            yield head + arrow + b" |\n"
        text = line if name in CALLS else b"/* " + line + b" */"
        yield head + b"| " + text + b"\n"

    def _line(self, form: Format, payload: bytes, cpu: int, pid: int) -> bytes:
        """What is printed of an event; an arrow of an interrupt stands before it, on its own line."""
        if form.name == "function":
            called, caller = (self._names(_number(form, payload, at)) for at in ("ip", "parent_ip"))
            return b"" if self.graph else called + b" <-" + caller
        if form.name in ("funcgraph_entry", "funcgraph_exit"):
            return self._graph_line(form, payload, cpu)
        if form.name == "sched_switch":
            return self._switch(form, payload)
        return form.name.encode() + b": " + _event_text(form, payload)

    def _graph_line(self, form: Format, payload: bytes, cpu: int) -> bytes:
        address, depth = (_number(form, payload, name) for name in ("func", "depth"))
        arrow = b""
        if form.name == "funcgraph_entry":
            if address in self._names.interrupts and self._depth.get(cpu, -1) < 0:
                self._depth[cpu] = depth
                arrow = b"==========>\n"
            return arrow + self._names(address) + b"() {"
        if address in self._names.interrupts and self._depth.get(cpu, -1) >= depth:
            self._depth[cpu] = -1
            arrow = b"<==========\n"
        return arrow + b"} /* " + self._names(address) + b" */"

    def _switch(self, form: Format, payload: bytes) -> bytes:
        preempted, dead, blocked = self._masks
        value = _number(form, payload, "prev_state")
        state = b"R+" if value & preempted else b"X" if value & dead else b"S" if value & blocked else b"R"
        prev, following = (_comm(form, payload, name) for name in ("prev_comm", "next_comm"))
        prev_pid, next_pid = (_number(form, payload, name) for name in ("prev_pid", "next_pid"))
        return (
            b"sched_switch: prev_comm=%s prev_pid=%d prev_prio=120 prev_state=%s ==> "
            b"next_comm=%s next_pid=%d next_prio=120" % (prev, prev_pid, state, following, next_pid)
        )


def _least(form: Format) -> int:
    """The bytes an event has at least."""
    return max((field.offset + field.size for field in form.fields.values()), default=0)


def _number(form: Format, payload: bytes, name: str) -> int:
    """A field as a number that is not negative; 0 when the event has no such field."""
    field = form.fields.get(name)
    if field is None:
        return 0
    return int.from_bytes(payload[field.offset : field.offset + field.size], "little")


def _comm(form: Format, payload: bytes, name: str) -> bytes:
    """A task's name, which must not end the line."""
    field = form.fields.get(name)
    found = payload[field.offset : field.offset + field.size] if field else b""
    return found.split(b"\0")[0].replace(b"\n", b" ")


def _level(form: Format, payload: bytes) -> bytes:
    pinned = b"" if _number(form, payload, "pinned") else b"un"
    return b"level %d %spinned" % (_number(form, payload, "level"), pinned)


_TEXTS: Final[dict[str, Callable[[Format, bytes], bytes]]] = {
    "xen_mc_batch": lambda form, payload: b"batch " + _LAZY.get(_number(form, payload, "mode"), b"?"),
    "xen_mc_entry": lambda form, payload: b"op %d()" % _number(form, payload, "op"),
    "xen_mmu_write_cr3": lambda form, payload: b"kernel" if _number(form, payload, "kernel") else b"user",
    "xen_mmu_alloc_ptpage": _level,
    "xen_mmu_release_ptpage": _level,
    "tlb_flush": lambda form, payload: b"(%d)" % _number(form, payload, "reason"),
}


def _event_text(form: Format, payload: bytes) -> bytes:
    """As much of a tracepoint's text as ``symbols.toml`` asks for."""
    made = _TEXTS.get(form.name)
    if made is not None:
        return made(form, payload)
    return b"ptep %x" % _number(form, payload, "ptep") if "ptep" in form.fields else b"-"


def open(source: str | BinaryIO, path: str) -> OpTrace | None:
    """The pv ops of a trace.dat, a path or a stream; None when it shows none.

    Raises TraceError as ``tracedat.open`` does.
    """
    mapped = map_file(source) if isinstance(source, str) else map_stream(source, b"", path)
    dat = TraceDat(mapped, path, _Wanted())
    text = OpText(mapped, dat)
    if not looks_like_ops(text.look(HEAD_BYTES)):
        return None
    trace = OpTrace(text, path, graph=text.graph)
    trace.meta.format = "trace.dat, as pv ops"
    trace.meta.origin = dat.recorded_by()
    trace.meta.clock = selected_clock(dat.clock)
    return trace
