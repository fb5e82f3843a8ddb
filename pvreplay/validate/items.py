"""A recording as items: one a line, or one a record, the same for every format.

An item is a raw record (:mod:`pvreplay.sources.records`) with the names that a
check of the switch path needs: which function was called and by whom, which
event it was, and how the recording wrote it.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pvreplay.errors import TraceError, UsageError
from pvreplay.sources import records as r
from pvreplay.sources.detect import HEAD_BYTES, Stream, unpacked
from pvreplay.sources.fgraph import is_graph
from pvreplay.sources.textevents import EventParser
from pvreplay.sources.textlines import LineParser
from pvreplay.sources.textsniff import sniff_text

if TYPE_CHECKING:
    from pvreplay.validate.graph import CallStacks, Look

_PAGES: Final = "ring-buffer pages"
GRAPH: Final = "function_graph"
OTHER: Final = 0
"""The type of an item that is no record: an event nobody here knows."""
_FUNCTION: Final = re.compile(rb"([\w.]+) <-([\w.]+)\s*$")
_EVENT: Final = re.compile(rb"(?:\w+:)?(\w+):(?:\s+(.*)|)$", re.DOTALL)
_PROBE: Final = re.compile(rb"\((\w[\w.]*)\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?\)(.*)$", re.DOTALL)
_ARGUMENT: Final = re.compile(rb"\w+=(?:0x)?([0-9a-f]+)")


class Item(NamedTuple):
    """One thing that was recorded.

    *pid* is who the line says ran (inside a switch that is prev or next,
    whatever the kernel's ``current`` was).  *type*, *a*, *b*, *c*, *flags* are
    a raw record's; FUNCTION has *name* and *parent* ("" for a kprobe, which
    tells no caller) and up to three arguments.  *text* is for drawings.
    """

    time_ns: int
    cpu: int
    pid: int
    type: int
    a: int
    b: int
    c: int
    flags: int
    name: str
    parent: str
    text: str


class Recording:
    """A recording that can be read more than once, front to back.

    *path* "-" is standard input, copied to a temporary file.  :class:`UsageError`
    when it cannot be opened, :class:`TraceError` when it is no recording.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = _copied_stdin() if path == "-" else None
        self.comms: list[bytes] = [b""]
        self._numbers: dict[bytes, int] = {b"": 0}
        self.word_bits = 0
        """Bits of the recorded kernel's long, known once a pass has begun; 0 when not told."""
        self.damage = ""
        """What is missing of it, known once a pass has ended."""
        self.packed = False
        self.graphed = False
        """Whether calls were seen in a graph, which leaves out what no chosen function made."""
        self._graph: tuple[dict[int, int], Look] | None = None
        if path != "-" and os.path.isdir(path):
            self.binary, self.style = _PAGES, ""
            return
        head = self._open().look(HEAD_BYTES)
        if not head:
            raise TraceError(f"{path}: empty", "A recording was expected.")
        self.binary = _binary(head)
        try:
            self.style = "" if self.binary else GRAPH if is_graph(head) else sniff_text(head)
        except TraceError as error:
            raise TraceError(f"{path}: {error.message}", error.hint) from None
        if not self.binary and not self.style:
            raise TraceError(
                f"{path}: not a recording that can be validated",
                "Read are ftrace text (events, function tracer, kprobes), perf script text, trace.dat, "
                "perf.data and a directory of raw ring-buffer pages.",
            )

    @property
    def format(self) -> str:
        """What it was recognised as."""
        return self.binary or {
            "ftrace": "ftrace text",
            "perf": "perf script text",
            GRAPH: "function_graph text",
        }.get(self.style, f"ftrace text ({self.style})")

    def items(self) -> Iterator[Item]:
        """Every item, in file order."""
        if self.binary:
            from pvreplay.validate.binary import record_items

            return record_items(self)
        if self.style == GRAPH:
            return self._graph_items()
        return self._text_items()

    def intern(self, name: bytes) -> int:
        """The number of a task's name."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.comms)
            self.comms.append(name)
        return number

    def name(self, number: int) -> str:
        """A task's name, as it can be shown."""
        return self.comms[number].decode("utf-8", "backslashreplace") if number < len(self.comms) else ""

    def local_path(self) -> Any:
        """What a decoder can open: the path, the copy of standard input, or what a packed file holds."""
        if self.packed:
            return self._open()
        if self._file is not None:
            self._file.seek(0)
            return self._file
        return self.path

    def _open(self) -> Stream:
        try:
            raw: Any = io.FileIO(os.dup(self._file.fileno())) if self._file else io.FileIO(self.path)
            raw.seek(0)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}", "Name a recording.") from None
        stream = Stream(raw)
        packed = unpacked(stream, stream.look(16), self.path)
        self.packed = packed is not None
        return stream if packed is None else Stream(packed)

    def _graph_items(self) -> Iterator[Item]:
        from pvreplay.validate.graph import GraphItems, look_through

        self.graphed = True
        if self._graph is None:
            look = look_through(self._lines())
            self._graph = {pid: self.intern(name) for pid, name in look.names.items()}, look
        events = EventParser(self.intern, evidence=True)
        return GraphItems(events, self.comms, *self._graph).items(self._lines())

    def _lines(self) -> Iterator[bytes]:
        stream = self._open()
        yield from io.BufferedReader(stream, 1 << 18)
        self.damage = stream.damage

    def _text_items(self) -> Iterator[Item]:
        from pvreplay.validate.graph import CallStacks

        events = EventParser(self.intern, evidence=True)
        lines = LineParser(self.style, events)
        stacks = CallStacks()
        pending = b""
        for raw in self._lines():
            line = raw.rstrip(b"\r\n")
            if pending:
                line, pending = pending + b"\n" + line, b""
            found = _text_item(line, lines, events, stacks)
            if found == "more":
                pending = line if line.count(b"\n") < 15 else b""
            elif found is not None and not isinstance(found, str):
                self.graphed = self.graphed or found.text.startswith("funcgraph_")
                yield found


def _text_item(line: bytes, lines: LineParser, events: EventParser, stacks: CallStacks) -> Item | str | None:
    """The item of a line; None for a comment; "more" when a name with a newline goes on."""
    prefix = lines.prefix(line)
    if prefix is None:
        if line.startswith((b"CPU:", b"##### CPU")):
            lost = lines.parse(line)
            for w0, w1, w2, w3 in lost:
                return Item(
                    w0,
                    w1 & 0xFFFF,
                    w1 >> 32,
                    w1 >> 16 & 0xFF,
                    w2 & 0xFFFFFFFF,
                    w2 >> 32,
                    w3,
                    w1 >> 24 & 0xFF,
                    "lost",
                    "",
                    line.decode("utf-8", "backslashreplace"),
                )
        return None
    _, pid, _, cpu, time_ns, payload = prefix
    text = payload.decode("utf-8", "backslashreplace").rstrip()
    lines.last_ns = time_ns
    where = time_ns, cpu, pid
    function = _FUNCTION.match(payload)
    if function:
        return Item(*where, r.FUNCTION, 0, 0, 0, 0, _symbol(function[1]), _symbol(function[2]), text)
    event = _EVENT.match(payload)
    if event is None:
        return event_item(where, b"", payload, events, text)
    if event[1] in (b"funcgraph_entry", b"funcgraph_exit"):
        return stacks.item(where, event[1], event[2] or b"", text)
    probe = _PROBE.match(event[2] or b"")
    if probe:
        try:
            a, b, c = [*(int(value, 16) for value in _ARGUMENT.findall(probe[2])), 0, 0, 0][:3]
        except ValueError:  # a number that is none
            return Item(*where, OTHER, 0, 0, 0, 0, _symbol(probe[1]), "", text)
        return Item(*where, r.FUNCTION, a, b, c, 0, _symbol(probe[1]), "", text)
    return event_item(where, event[1], event[2] or b"", events, text)


def event_item(
    where: tuple[int, int, int], name: bytes, fields: bytes, events: EventParser, text: str
) -> Item | str:
    """The item of an event with these *fields* as text (time, CPU, pid are *where*); "more" when a name
    with a newline goes on.  Without a *name* the fields tell what it is (old sched_switch)."""
    try:
        found = events.parse(name, fields, where[2]) if name else events.parse_unnamed(fields, where[2])
    except ValueError:  # a number that is none
        found = False
    if found is None:
        return "more"
    called = (name or fields.partition(b"(")[0].split(b" ", 1)[0]).decode("utf-8", "backslashreplace")
    if isinstance(found, bool):
        return Item(*where, OTHER, 0, 0, 0, 0, called, "", text)
    kind, a, b, c, flags = found
    return Item(*where, kind, a & 0xFFFFFFFF, b & 0xFFFFFFFF, c & 0xFFFFFFFFFFFFFFFF, flags, called, "", text)


def _symbol(name: bytes) -> str:
    """A function's name without what the compiler put behind it (.constprop.0, .isra.0, .part.0)."""
    return name.decode().partition(".")[0]


def _binary(head: bytes) -> str:
    if head.startswith((b"PERFILE2", b"2ELIFREP", b"PERFFILE")):
        return "perf.data"
    if head.startswith(b"\x17\x08\x44tracing"):
        return "trace.dat"
    return ""


def _copied_stdin() -> Any:
    import shutil
    import sys

    copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the recording
    shutil.copyfileobj(sys.stdin.buffer, copy)
    copy.flush()
    return copy
