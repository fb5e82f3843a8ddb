"""The text form of a trace: writer (traces/FORMAT.md, "The text form")."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Final

from pvreplay.errors import TraceError
from pvreplay.trace.events import CPU_MAX, NKINDS, Kind
from pvreplay.trace.metatext import meta_lines
from pvreplay.trace.model import Chunk, Meta, Trace
from pvreplay.trace.names import ARG_MAX, HAS_ARG, KIND_NAMES, TAKES_TASK, TLS_SLOTS, kind_name
from pvreplay.trace.quote import quote, to_bytes
from pvreplay.trace.renames import Renames
from pvreplay.trace.taskline import format_task

_SECOND: Final = 1_000_000_000
_TASK_KINDS: Final = frozenset(int(kind) for kind in TAKES_TASK)
_CACHE_MAX: Final = 1 << 16


def write_text(trace: Trace, fileobj: IO[bytes]) -> None:
    """Write *trace* to a binary file object, a chunk at a time.

    What is known before the first event stands at the top; what was learnt while
    reading (provenance, doubts) follows at the end.  Raises
    :class:`~pvreplay.errors.TraceError` for an event that the text form, which
    is checked when it is read, could not hold.
    """
    head = meta_lines(trace.meta, {}, "")
    fileobj.write(_joined(["# pvreplay trace 1", *head]))
    ops: tuple[str, ...] = ()
    nr_tasks = 0
    renames = Renames()
    cache: dict[int, str] = {}
    for chunk in trace.chunks():
        lines: list[str] = []
        if trace.meta.ops != ops:
            ops = trace.meta.ops
            cache.clear()
            lines.append("ops " + " ".join(quote(op) for op in ops))
        lines += [format_task(task) for task in chunk.tasks]
        nr_tasks += len(chunk.tasks)
        renames.add(chunk.tasks)
        lines += [f"on {cpu} {task}" for cpu, task in chunk.on]
        _event_lines(trace.meta, chunk, nr_tasks, cache, lines.append)
        if lines:
            fileobj.write(_joined(lines))
    if trace.meta.ops != ops:
        fileobj.write(_joined(["ops " + " ".join(quote(op) for op in trace.meta.ops)]))
    tail = [line for line in meta_lines(trace.meta, trace.doubts, trace.damage) if line not in head]
    tail += renames.lines()
    if tail:
        fileobj.write(_joined(tail))


def time_text(time_ns: int) -> str:
    """Seconds with nine decimals, exactly."""
    return f"{time_ns // _SECOND}.{time_ns % _SECOND:09d}"


def event_text(word: int, nr_tasks: int, ops: tuple[str, ...]) -> str:
    """CPU, name and arguments of an event from its second word.

    Raises :class:`ValueError` with what the text form cannot hold.
    """
    arg, cpu, kind, flags = word & 0xFFFFFFFF, word >> 32 & 0xFFFF, word >> 48 & 0xFF, word >> 56
    if not 0 < kind < NKINDS:
        raise ValueError(f"unknown event {kind_name(kind)}")
    name = KIND_NAMES[kind]
    if cpu >= CPU_MAX:
        raise ValueError(f"{name} on CPU {cpu}")
    if arg > ARG_MAX[kind] or (kind in _TASK_KINDS and arg > nr_tasks):
        raise ValueError(f"{name} with argument {arg}" + f", {nr_tasks} tasks" * (kind in _TASK_KINDS))
    if flags and (kind != Kind.TLS or flags >= TLS_SLOTS):
        raise ValueError(f"{name} with flags {flags}")
    if kind == Kind.TLS:
        return f"{cpu} {name} {flags} {arg:x}"
    if kind == Kind.OP:
        index, operand = arg & 0xFFFF, arg >> 16
        if index >= len(ops):
            raise ValueError(f"op {index} of {len(ops)}")
        return f"{cpu} {name} {quote(ops[index])}" + (f" {operand}" if operand else "")
    return f"{cpu} {name} {arg}" if HAS_ARG[kind] else f"{cpu} {name}"


def _event_lines(
    meta: Meta, chunk: Chunk, nr_tasks: int, cache: dict[int, str], put: Callable[[str], None]
) -> None:
    words = chunk.events
    for at in range(0, len(words), 2):
        word = words[at + 1]
        text = cache.get(word)
        if text is None:
            try:
                text = event_text(word, nr_tasks, meta.ops)
            except ValueError as error:
                raise TraceError(
                    f"{meta.path}: event {at // 2} after {chunk.offset:#x}: {error}",
                    "The event is not as in traces/FORMAT.md; pvreplay dump prints it as it is.",
                ) from None
            if len(cache) >= _CACHE_MAX:
                cache.clear()
            cache[word] = text
        time_ns = words[at]
        put(f"{time_ns // _SECOND}.{time_ns % _SECOND:09d} {text}")


def _joined(lines: list[str]) -> bytes:
    return to_bytes("\n".join(lines) + "\n")
