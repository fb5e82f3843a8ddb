"""Which trace is it?  A digest of its events and tasks, whatever file or format holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    from pvreplay.trace.model import Chunk, Meta, Task, Trace

ALGORITHM = "xxh3"


class Identified:
    """A :class:`~pvreplay.trace.model.Trace` that is hashed while it is read.

    A trace.bin and its text form have one digest: it covers the events in file
    order, the tasks in order of definition, who runs first on each CPU, and the
    op table; not where the trace came from, and not how it is cut into chunks.
    """

    meta: Meta
    doubts: dict[str, int]
    damage: str
    """These three are always the trace's own, as is ``where`` of the sources that have it."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.hashed = 0
        """Events so far."""
        self._events = xxhash.xxh3_128()
        self._tasks = xxhash.xxh3_128()
        self._starts = xxhash.xxh3_128()

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of the trace, unchanged."""
        for chunk in self._trace.chunks():
            for task in chunk.tasks:
                self._tasks.update(_spelled(task))
            for pair in chunk.on:
                self._starts.update(repr(pair).encode())
            self._events.update(chunk.events)
            self.hashed += len(chunk.events) // 2
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trace, name)

    def digest(self) -> str:
        """``xxh3:`` and 32 hex digits; complete once the chunks have been read."""
        whole = xxhash.xxh3_128()
        for part in (self._events, self._tasks, self._starts):
            whole.update(part.digest())
        whole.update(repr(self._trace.meta.ops).encode("utf-8", "surrogateescape"))
        return f"{ALGORITHM}:{whole.hexdigest()}"


def _spelled(task: Task) -> bytes:
    fields = (
        task.id,
        task.pid,
        task.mm,
        *task.tls,
        task.ldt,
        task.iopl,
        int(task.dr),
        int(task.io_bitmap),
        int(task.notsc),
        int(task.gs),
        int(task.blockstep),
        int(task.fpu),
        task.fpu_counter,
        int(task.used_math),
    )
    return repr(fields).encode() + task.comm.encode("utf-8", "surrogateescape") + b"\n"
