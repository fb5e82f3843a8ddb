"""The text form of a trace (traces/FORMAT.md, "The text form"): reader.

Reads in blocks of 1 MiB, so memory does not grow with the file.  Event lines are
parsed as bytes (ASCII digits only); what follows the time repeats, so its
packed word is remembered.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import IO, Final, NoReturn

from pvreplay.errors import TraceError
from pvreplay.trace.events import CPU_MAX, TASK_MAX, Kind
from pvreplay.trace.metatext import META_KEYS, MetaError, apply_meta
from pvreplay.trace.model import Chunk, Meta, Task
from pvreplay.trace.names import ARG_MAX, HAS_ARG, KIND_NAMES, KINDS_BY_NAME, TAKES_TASK
from pvreplay.trace.quote import from_bytes, quote, to_bytes, words
from pvreplay.trace.renames import KEY, Renames
from pvreplay.trace.taskline import is_hex, is_number, parse_task
from pvreplay.trace.text_write import write_text

__all__ = ["HEADER", "TextTrace", "write_text"]

HEADER: Final = b"# pvreplay trace "
TEXT_VERSION: Final = "1"
CHUNK_EVENTS: Final = 1 << 14
_READ_BYTES: Final = 1 << 20
_LINE_MAX: Final = 1 << 20
_CACHE_MAX: Final = 1 << 16
_CACHED_LINE_MAX: Final = 80
_TIME_MAX: Final = (1 << 64) - 1
_OPS_MAX: Final = 1 << 16
_TASK_KINDS: Final = frozenset(int(kind) for kind in TAKES_TASK)

Source = bytes | str | IO[bytes] | Iterable[bytes | str]


class TextTrace:
    """A trace in the text form as a :class:`~pvreplay.trace.model.Trace`; read once.

    *source* is the text itself, a binary file object, or an iterable of lines;
    *head* are bytes already taken from a file object.  Task numbers of the file
    become 1, 2, 3 ... in the order of the task lines.  Raises
    :class:`~pvreplay.errors.TraceError` naming the line; what stands before the
    first event is read by the constructor.
    """

    def __init__(self, source: Source, path: str = "-", head: bytes = b"") -> None:
        self.meta = Meta(path=path, format="trace text")
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self._line = 0
        self._ids = {"0": 0, "idle": 0}  # task as written -> its id
        self._tasks: list[Task] = []
        self._nr_tasks = 0
        self._renames = Renames()
        self._on: list[tuple[int, int]] = []
        self._ops: dict[str, int] = {}
        self._ops_told = False
        self._cpus = 0  # highest CPU seen + 1
        self._cpus_told = 0
        self._cache: dict[bytes, int] = {}
        self._runs: list[tuple[int, int]] = []
        """(event index, line) of the first event of every run of event lines in a chunk."""
        self._lines = _lines(source, head)
        self._header()
        self._first: bytes | None = None
        for raw in self._lines:
            if _is_event(raw):
                self._first = raw
                break
            self._line += 1
            found = self._words(raw)
            if found:
                self._define(found)

    def chunks(self) -> Iterator[Chunk]:
        """Yield chunks of 16384 events; a task or ``on`` line among events starts a new one."""
        events = array("Q")
        self._runs = [(0, self._line + 1)]
        cached = self._cache.get
        for raw in self._rest():
            self._line += 1
            if raw[:1].isdigit() or _is_event(raw):
                time, _, rest = raw.partition(b" ")
                seconds, _, fraction = time.partition(b".")
                digits = seconds + fraction
                if len(fraction) == 9 and len(digits) < 20 and digits.isdigit():
                    events.append(int(digits))
                    word = cached(rest)
                    events.append(self._event(rest) if word is None else word)
                else:
                    time, rest = (*raw.split(None, 1), b"")[:2]
                    events.append(self._time(time))
                    events.append(self._event(rest))
                if len(events) == 2 * CHUNK_EVENTS:
                    yield self._chunk(events)
                    events = array("Q")
                    self._runs = [(0, self._line + 1)]
                continue
            found = self._words(raw)
            if found:
                if events and found[0] in ("task", "on"):
                    yield self._chunk(events)
                    events = array("Q")
                    self._runs = []
                self._define(found)
            self._runs.append((len(events) // 2, self._line + 1))
        if events or self._tasks or self._on:
            yield self._chunk(events)
        if not self._cpus_told:
            self.meta.cpus = self._cpus

    def where(self, chunk: Chunk, index: int) -> str:
        """Line of event *index* of the chunk given last, for messages."""
        line = chunk.offset + index
        for first, first_line in self._runs:
            if first <= index:
                line = first_line + index - first
        return f"line {line}"

    def _rest(self) -> Iterator[bytes]:
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._lines

    def _chunk(self, events: array[int]) -> Chunk:
        offset = next((line for index, line in reversed(self._runs) if index == 0), self._line)
        chunk = Chunk(memoryview(events).toreadonly(), self._tasks, self._on, offset)
        self._tasks, self._on = [], []
        return chunk

    def _header(self) -> None:
        raw = next(self._lines, b"")
        self._line = 1
        version = from_bytes(raw[len(HEADER) :]).strip()
        if not raw.startswith(HEADER):
            self._fail(quote(from_bytes(raw[:40])), "# pvreplay trace 1")
        if version != TEXT_VERSION:
            raise TraceError(
                f"{self.meta.path}: text form version {quote(version[:20])}; this pvreplay reads version 1",
                "Convert it with the pvreplay that wrote it, or install that version.",
            )

    def _fail(self, found: str, expected: str) -> NoReturn:
        if len(found) > 100:
            found = found[:97] + "..."
        raise TraceError(f"{self.meta.path}: line {self._line}: {found}", f"Expected {expected}.")

    # --- event lines --------------------------------------------------------------

    def _time(self, text: bytes) -> int:
        seconds, dot, fraction = text.partition(b".")
        whole = seconds.isdigit() and len(seconds) <= 11
        if not whole or len(fraction) > 9 or (dot and not fraction.isdigit()):
            self._fail(
                f"time {quote(from_bytes(text[:40]))}", "seconds with at most nine decimals, as 0.000001000"
            )
        time_ns = int(seconds) * 1_000_000_000 + int((fraction + b"000000000")[:9])
        if time_ns > _TIME_MAX:
            self._fail(f"time {from_bytes(text)}", "a time below 18446744073.709551616 s")
        return time_ns

    def _event(self, raw: bytes) -> int:
        """The packed word of what follows the time."""
        found = self._words(raw)
        if len(found) < 2:
            self._fail(f"an event line of {len(found) + 1} words", "TIME CPU EVENT and its arguments")
        kind = KINDS_BY_NAME.get(found[1])
        if kind is None:
            self._fail(f"event {quote(found[1])}", f"one of {' '.join(KIND_NAMES[1:])}")
        word = self._arguments(kind, found[2:]) | self._cpu(found[0]) << 32 | kind << 48
        if len(raw) <= _CACHED_LINE_MAX:
            if len(self._cache) >= _CACHE_MAX:
                self._cache.clear()
            self._cache[raw] = word
        return word

    def _arguments(self, kind: int, args: list[str]) -> int:
        """Argument and flags of an event of this kind, as bits of its word."""
        name = KIND_NAMES[kind]
        if kind == Kind.OP:
            return self._op(args)
        if kind == Kind.TLS:
            if len(args) != 2 or args[0] not in ("0", "1", "2") or not is_hex(args[1]):
                self._fail(" ".join([name, *args]), "tls SLOT WORD, SLOT 0 to 2 and WORD hexadecimal")
            return int(args[1], 16) | int(args[0]) << 56
        if len(args) != HAS_ARG[kind]:
            wanted = "one" if HAS_ARG[kind] else "none"
            self._fail(f"{name} with {len(args)} arguments", f"{name} with {wanted}")
        if not args:
            return 0
        if kind in _TASK_KINDS:
            return self._task(args[0])
        if not is_number(args[0]) or int(args[0]) > ARG_MAX[kind]:
            self._fail(f"{name} {quote(args[0])}", f"{name} and a number from 0 to {ARG_MAX[kind]}")
        return int(args[0])

    def _op(self, args: list[str]) -> int:
        operand = args[1] if len(args) == 2 else "0"
        if len(args) not in (1, 2) or not is_number(operand) or int(operand) > 0xFFFF:
            self._fail(" ".join(["op", *args]), "op NAME [OPERAND], OPERAND from 0 to 65535")
        index = self._ops.get(args[0])
        if index is None:
            if self._ops_told:
                self._fail(f"op {quote(args[0])}", "an op that the ops line names")
            index = self._add_op(args[0])
        return index | int(operand) << 16

    def _task(self, text: str) -> int:
        task_id = self._ids.get(text)
        if task_id is None:
            self._fail(f"task {quote(text)} is not defined", "a task line for it before, or 0 or idle")
        return task_id

    def _cpu(self, text: str) -> int:
        limit = self._cpus_told or CPU_MAX
        if not is_number(text) or int(text) >= limit:
            told = ", as the cpus line says" if self._cpus_told else ""
            self._fail(f"CPU {quote(text)}", f"a CPU from 0 to {limit - 1}{told}")
        cpu = int(text)
        self._cpus = max(self._cpus, cpu + 1)
        return cpu

    # --- other lines ---------------------------------------------------------------

    def _words(self, raw: bytes) -> list[str]:
        """The words of a line; none when it is blank or a comment."""
        try:
            return words(from_bytes(raw))
        except ValueError as error:
            self._fail(str(error), "quoted strings as in traces/FORMAT.md")

    def _define(self, found: list[str]) -> None:
        """Take in a line that is not an event."""
        key = found[0]
        if key == "task":
            self._define_task(found)
        elif key == "on":
            if len(found) != 3:
                self._fail(" ".join(found), "on CPU TASK")
            self._on.append((self._cpu(found[1]), self._task(found[2])))
        elif key == "ops":
            for index, (name, known) in enumerate(zip(found[1:], self._ops, strict=False)):
                if name != known:
                    self._fail(f"op {index} is {quote(name)}", f"{quote(known)}, as before")
            self._ops_told = True
            for name in found[1 + len(self._ops) :]:
                self._add_op(name)
        elif key == KEY:
            try:
                self._renames.apply(found, self._ids.get(found[1]) if len(found) > 1 else None)
            except MetaError as error:
                self._fail(error.found, error.expected)
        elif key in META_KEYS:
            try:
                damage = apply_meta(found, self.meta, self.doubts)
            except MetaError as error:
                self._fail(error.found, error.expected)
            self.damage = damage or self.damage
            if key == "cpus":
                self._cache.clear()  # what it holds was checked against another limit
                self._cpus_told = self.meta.cpus
                if self._cpus > self._cpus_told:
                    self._fail(f"cpus {self._cpus_told}, after CPU {self._cpus - 1}", "the number of CPUs")
        else:
            known = " ".join(sorted({"task", "on", "ops", KEY, *META_KEYS}))
            self._fail(quote(key), f"an event line, a comment, or one of {known}")

    def _define_task(self, found: list[str]) -> None:
        if self._nr_tasks + 1 >= TASK_MAX:
            self._fail(f"task {self._nr_tasks + 1}", f"fewer than {TASK_MAX} tasks")
        try:
            number, task = parse_task(found, self._nr_tasks + 1)
        except ValueError as error:
            self._fail(error.args[0], error.args[1])
        if str(number) in self._ids:
            self._fail(f"task {number} is defined twice", "one line a task; state changes are events")
        self._nr_tasks += 1
        self._ids[str(number)] = task.id
        self._tasks.append(task)
        self._renames.add((task,))

    def _add_op(self, name: str) -> int:
        if len(self._ops) >= _OPS_MAX or name in self._ops:
            self._fail(f"op {quote(name)}", f"each op once, and at most {_OPS_MAX}")
        index = len(self._ops)
        self._ops[name] = index
        self.meta.ops = tuple(self._ops)
        self.meta.level = "op"
        return index


def _is_event(raw: bytes) -> bool:
    """Whether a line starts with a digit, perhaps after blanks."""
    return raw[:1].isdigit() or (raw[:1].isspace() and raw.lstrip()[:1].isdigit())


def _lines(source: Source, head: bytes) -> Iterator[bytes]:
    """The lines of any source, without their newline; a last newline ends the last line."""
    if isinstance(source, str):
        source = to_bytes(source)
    if isinstance(source, bytes):
        head, source = head + source, ()
    read = getattr(source, "read1", None) or getattr(source, "read", None)
    if read is None:
        yield from _split(head)
        for line in source:
            raw = to_bytes(line) if isinstance(line, str) else line
            yield raw.rstrip(b"\n")
        return
    rest = head
    while block := read(_READ_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > _LINE_MAX:  # not a text: one clipped line, for the message
            break
    yield from _split(rest)


def _split(raw: bytes) -> list[bytes]:
    lines = raw.split(b"\n")
    return lines if lines[-1] else lines[:-1]
