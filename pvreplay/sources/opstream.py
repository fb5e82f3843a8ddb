"""Function traces and Xen tracepoints as a trace of pv ops: what was recorded, nothing simulated.

Read are ftrace text of the tracers function and nop, and of function_graph.
The events are those of an op-level trace (traces/FORMAT.md): begin, op, end,
and lazy MMU sections.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

from pvreplay.errors import UsageError
from pvreplay.sources import records as r
from pvreplay.sources.fgraph import GraphReader, is_graph
from pvreplay.sources.opcpu import OpCpu, Shared
from pvreplay.sources.symbols import plain_name, symbols
from pvreplay.sources.tables import UNKNOWN_PID
from pvreplay.sources.textevents import EventParser
from pvreplay.sources.textlines import LineParser
from pvreplay.sources.textsniff import sniff_text
from pvreplay.sources.textsource import Stream
from pvreplay.trace.events import CPU_MAX
from pvreplay.trace.model import Chunk, Meta, Origin, Task, Trace

CHUNK_EVENTS: Final = 16384
BLOCK_BYTES: Final = 1 << 18
LINE_BYTES_MAX: Final = 1 << 16
HEAD_BYTES: Final = 1 << 20
"""How much text is looked at for switches: a function trace may begin before its events."""

_FUNCTION: Final = re.compile(rb"([A-Za-z_][\w.]*) <-([A-Za-z_][\w.]*)\s*$")
_EVENT: Final = re.compile(rb"([a-z]\w*): ?(.*)$", re.DOTALL)
_LOST: Final = re.compile(rb"\s*CPU:\s*(\d+) \[LOST (\d+) EVENTS\]")
_GRAPH_CALL: Final = re.compile(rb"\|\s*([A-Za-z_][\w.]*)\(\)")
_XEN_EVENT: Final = re.compile(rb": (xen_(?:mc|mmu|cpu)_\w+): ")
_LOOKS_PV: Final = re.compile(rb"(?:xen|paravirt|kvm|lguest|vmi|pv)_\w+$")


class OpTrace:
    """A Trace of level "op" from text that *stream* gives."""

    def __init__(self, stream: Stream, path: str = "-", *, graph: bool = False) -> None:
        """*graph*: the text is the function_graph tracer's."""
        kind = "function_graph text" if graph else "ftrace text"
        self.meta = Meta(path, f"{kind}, as pv ops", level="op", ops=symbols().ops)
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self._stream = stream
        self._symbols = symbols()
        self._shared = Shared(self._emit, self._unknown, self._doubt)
        self._comms: list[bytes] = [b""]
        self._numbers: dict[bytes, int] = {b"": 0}
        self._graph = GraphReader() if graph else None
        self._parser = EventParser(self._intern)
        self._lines = LineParser("ftrace", self._parser)
        self._cpus: dict[int, OpCpu] = {}
        self._tasks: dict[int, int] = {}
        self._nr_tasks = 0
        self._nobody = 0
        self._fresh: list[Task] = []
        self._events = array("Q")
        self._slots_seen = False

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks in file order."""
        for offset, line in self._read_lines():
            self._line(line)
            if len(self._events) >= 2 * CHUNK_EVENTS:
                yield self._chunk(offset)
        for cpu in self._cpus.values():
            cpu.finish()
        yield self._chunk(0)
        self.damage = str(getattr(self._stream, "damage", ""))
        self.meta.cpus = max(self._cpus, default=-1) + 1
        self._describe()

    def _chunk(self, offset: int) -> Chunk:
        events, self._events = self._events, array("Q")
        tasks, self._fresh = self._fresh, []
        return Chunk(memoryview(events).toreadonly(), tasks, offset=offset)

    def _read_lines(self) -> Iterator[tuple[int, bytes]]:
        """(offset, line) of every line; one that is too long is cut and counted."""
        buffer = bytearray(BLOCK_BYTES)
        left = b""
        offset = 0
        while count := self._stream.readinto(memoryview(buffer)):
            lines = (left + bytes(buffer[:count])).split(b"\n")
            left = lines.pop()
            if len(left) > LINE_BYTES_MAX:
                self._doubt("overlong_lines")
                left = b""
            for line in lines:
                yield offset, line
                offset += len(line) + 1
        if left:
            yield offset, left

    # --- lines ----------------------------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if lost := _LOST.match(line):
            self._at(int(lost[1])).lost(self._lines.last_ns, int(lost[2]))
        elif self._graph is not None:
            self._graph_line(self._graph, line)
        else:
            self._text_line(line)

    def _graph_line(self, graph: GraphReader, line: bytes) -> None:
        said = graph.read(line)
        if said is None or said.cpu >= CPU_MAX:
            return
        self._shared.functions = True
        self._lines.last_ns = said.time_ns
        cpu = self._at(said.cpu)
        if said.what == "task":
            cpu.runs(said.time_ns, self._task(int(said.a), self._intern(said.b)))
        elif said.what == "call":
            self._function(cpu, said.time_ns, plain_name(said.a), plain_name(said.b))
        elif said.what == "irq":
            cpu.interrupt(said.time_ns, said.a == b"enter")
        else:
            self._event(cpu, said.time_ns, said.a, said.b, UNKNOWN_PID)

    def _text_line(self, line: bytes) -> None:
        prefix = self._lines.prefix(line)
        if prefix is None:
            if line.startswith(b"# tracer: function"):
                self._shared.functions = True
            return
        _, pid, _, cpu, time_ns, text = prefix
        if cpu >= CPU_MAX:
            self._doubt("unparsed_lines")
            return
        self._lines.last_ns = time_ns
        call = _FUNCTION.match(text)
        if call:
            self._shared.functions = True
            self._function(self._at(cpu), time_ns, plain_name(call[1]), plain_name(call[2]))
            return
        event = _EVENT.match(text)
        if event is not None:
            self._event(self._at(cpu), time_ns, event[1], event[2], pid)

    def _event(self, cpu: OpCpu, time_ns: int, name: bytes, text: bytes, pid: int) -> None:
        if name == b"sched_switch":
            self._sched_switch(cpu, time_ns, text, pid)
        elif self._symbols.knows_event(name):
            self._slots_seen = self._slots_seen or name == b"xen_mc_entry"
            cpu.event(time_ns, name, text.rstrip())

    def _function(self, cpu: OpCpu, time_ns: int, name: bytes, caller: bytes) -> None:
        if not cpu.function(time_ns, name, caller) and _LOOKS_PV.match(name):
            self._doubt("unknown_pv_functions")

    def _sched_switch(self, cpu: OpCpu, time_ns: int, text: bytes, pid: int) -> None:
        fields = self._parser.parse(b"sched_switch", text, pid)
        if not isinstance(fields, tuple):
            self._doubt("unparsed_lines")
            return
        _, prev, following, c, _ = fields
        prev_task = self._task(prev, c & 0xFFFFFF)
        cpu.switch(time_ns, prev_task, self._task(following, c >> 24 & 0xFFFFFF))
        if c >> 48 & 0xFF == r.STATE_DEAD:
            self._tasks.pop(prev, None)

    # --- tasks, events --------------------------------------------------------------------------

    def _at(self, cpu: int) -> OpCpu:
        if cpu not in self._cpus:
            self._cpus[cpu] = OpCpu(cpu, self._symbols, self._shared)
        return self._cpus[cpu]

    def _task(self, pid: int, comm: int) -> int:
        if pid == 0:
            return 0
        task = self._tasks.get(pid)
        if task is None:
            name = self._comms[comm].decode("utf-8", "backslashreplace") if comm < len(self._comms) else ""
            task = self._tasks[pid] = self._new_task(name, pid)
        return task

    def _unknown(self) -> int:
        """The task of a switch that nothing told of."""
        if not self._nobody:
            self._nobody = self._new_task("?", -1)
        return self._nobody

    def _new_task(self, name: str, pid: int) -> int:
        self._nr_tasks += 1
        self._fresh.append(Task(self._nr_tasks, comm=name, pid=pid))
        return self._nr_tasks

    def _intern(self, name: bytes) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._comms)
            self._comms.append(name)
        return number

    def _emit(self, time_ns: int, cpu: int, kind: int, arg: int) -> None:
        self._events.append(time_ns & 0xFFFFFFFFFFFFFFFF)
        self._events.append(arg & 0xFFFFFFFF | cpu << 32 | int(kind) << 48)

    def _doubt(self, name: str) -> None:
        self.doubts[name] = self.doubts.get(name, 0) + 1

    def _describe(self) -> None:
        how = "function calls" if self._shared.functions else "xen tracepoints; lazy modes from the batches"
        self.meta.state["ops"] = Origin("observed" if self._shared.functions else "derived", how)
        if self._slots_seen:
            self.meta.state["tls"] = Origin("observed", "update_descriptor entries of each load_tls")
        else:
            self.meta.state["tls"] = Origin("assumed", "no TLS slot changes: xen_mc_entry was not recorded")
        if self._lines.integer_clock:
            self.meta.clock = "counts, not seconds (counter, uptime or x86-tsc)"
        if self._graph is not None and not self._graph.timed:
            self.meta.clock = "lines, not seconds (function_graph without funcgraph-abstime)"


def open_ops(stream: Any, path: str, *, asked: bool) -> OpTrace | None:
    """The text that *stream* holds as pv ops.

    None when it is none, or when it holds switches too and ops were not *asked* for.
    """
    head = stream.look(HEAD_BYTES)
    if not asked and (b"sched_switch: " in head or not looks_like_ops(head)):
        return None
    graph = is_graph(head[:4096])
    if not graph and sniff_text(head[: 1 << 16]) not in ("", "ftrace"):
        return None
    return OpTrace(stream, path, graph=graph) if looks_like_ops(head) else None


def with_ops(path: str, opened: Callable[[], Trace]) -> Trace:
    """The trace that *opened* gives; UsageError when it holds no pv ops."""
    trace = opened()
    if trace.meta.level != "op":
        raise no_ops(path, trace.meta.format)
    return trace


def no_ops(path: str, format: str) -> UsageError:
    """The refusal of a recording that shows no pv ops."""
    return UsageError(
        f"{path}: --level op: {format or 'it'} holds no pv ops",
        "They are read from ftrace text or trace.dat of the function tracers or of Xen's tracepoints.",
    )


def looks_like_ops(head: bytes) -> bool:
    """Whether text that begins with *head* shows pv ops."""
    table = symbols()
    for line in head.split(b"\n"):
        call = _FUNCTION.search(line) or _GRAPH_CALL.search(line)
        if call is not None:
            caller = call[2] if call.re is _FUNCTION else b""
            if table.function(plain_name(call[1]), plain_name(caller)) is not None:
                return True
        event = _XEN_EVENT.search(line)
        if event is not None and table.knows_event(event[1]):
            return True
    return False
