"""Write trace.bin: append-only, a block at a time, readable however it ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO

from pvreplay.errors import TraceError
from pvreplay.trace import layout
from pvreplay.trace.metatext import meta_lines
from pvreplay.trace.model import Chunk, Meta, Task, Trace
from pvreplay.trace.names import KIND_NAMES
from pvreplay.trace.quote import quote, to_bytes
from pvreplay.trace.renames import Renames

_TASKS_BLOCK_BYTES = 1 << 20
"""A tasks block, or a block of names, is closed when it reaches this size."""


def write_binary(trace: Trace, fileobj: IO[bytes]) -> None:
    """Write all of *trace* as trace.bin to a binary file object."""
    writer = BinaryWriter(fileobj, trace.meta)
    for chunk in trace.chunks():
        writer.write(chunk)
    writer.close(trace.doubts, trace.damage)


class BinaryWriter:
    """Appends chunks to a binary file object as blocks of trace.bin.

        writer = BinaryWriter(out, meta)
        while recording:
            writer.write(chunk)
        writer.close(doubts)

    Events are gathered into blocks of 4 KiB, 8 KiB and so on up to 256 KiB, so
    that a cut costs a short trace little and a long one no speed; every block is
    flushed as soon as it is whole, and :meth:`flush` writes a part block now.  *meta* is written at
    the start and, if it has changed by then, again by :meth:`close`.  A file that
    was never closed has no end block, and readers say so.
    """

    def __init__(self, fileobj: IO[bytes], meta: Meta) -> None:
        if sys.byteorder != "little":
            raise TraceError(
                "trace.bin is little-endian and this machine is big-endian",
                "Write the text form here (--to text) and convert it elsewhere.",
            )
        self._file = fileobj
        self._meta = meta
        self._number = 0
        self._tasks = 0
        self._events = 0
        self._buffer = bytearray(layout.EVENTS_BLOCK_BYTES)
        self._limit = layout.FIRST_EVENTS_BLOCK_BYTES
        self._filled = 0
        self._ops: tuple[str, ...] = ()
        self._told: list[str] = []
        self._renames = Renames()
        self._put(layout.FILE_HEADER.pack(layout.MAGIC, layout.VERSION, 0, 0))
        self._write_meta({}, "")
        self._write_names()

    def write(self, chunk: Chunk) -> None:
        """Append a chunk: its tasks, who runs, its events.

        Raises :class:`~pvreplay.errors.TraceError` for an entry the format cannot hold.
        """
        if self._meta.ops != self._ops:
            self.flush()
            self._write_names()
        if chunk.tasks:
            self.flush()
            self._write_tasks(chunk.tasks)
        if chunk.on:
            self.flush()
            self._write_start(chunk.on)
        view = chunk.events.cast("B") if chunk.events.format != "B" else chunk.events
        if len(view) % layout.ALIGN:
            raise TraceError(f"a chunk of {len(view)} bytes of events", "An event is 16 bytes.")
        at, end = 0, len(view)
        while at < end:
            full = self._limit
            if not self._filled and end - at >= full:
                self._events_block(view[at : at + full])
                at += full
                continue
            take = min(full - self._filled, end - at)
            self._buffer[self._filled : self._filled + take] = view[at : at + take]
            self._filled += take
            at += take
            if self._filled == full:
                self.flush()
        self._events += end // layout.ALIGN

    def flush(self) -> None:
        """Write the events gathered so far as a block of their own."""
        if self._filled:
            with memoryview(self._buffer) as view:
                self._events_block(view[: self._filled])
            self._filled = 0

    def close(self, doubts: Mapping[str, int] | None = None, damage: str = "") -> None:
        """Write what is left, what has been learnt since the start, and the end block.

        The file object stays open.
        """
        self.flush()
        if self._meta.ops != self._ops:
            self._write_names()
        self._write_meta(doubts or {}, damage)
        self._write_renames()
        self._block(layout.END, layout.END_PAYLOAD.pack(self._events, self._tasks))

    def _write_meta(self, doubts: Mapping[str, int], damage: str) -> None:
        """Write the lines that have not been written yet; a later line replaces an earlier one."""
        lines = [line for line in meta_lines(self._meta, doubts, damage) if line not in self._told]
        if lines or not self._number:
            self._block(layout.META, to_bytes("".join(line + "\n" for line in lines)))
        self._told += lines

    def _write_renames(self) -> None:
        """Write the last names of tasks that were written under another."""
        lines = self._renames.lines()
        while lines:
            taken, size = 0, 0
            while taken < len(lines) and size < _TASKS_BLOCK_BYTES:
                size += len(lines[taken]) + 1
                taken += 1
            self._block(layout.META, to_bytes("".join(line + "\n" for line in lines[:taken])))
            del lines[:taken]

    def _write_names(self) -> None:
        ops = self._meta.ops
        lines = "kinds " + " ".join(KIND_NAMES[1:]) + "\n"
        if ops:
            lines += "ops " + " ".join(quote(op) for op in ops) + "\n"
        self._block(layout.NAMES, to_bytes(lines))
        self._ops = ops

    def _write_tasks(self, tasks: list[Task]) -> None:
        records: list[bytes] = []
        size = 0
        for task in tasks:
            problem = layout.task_problem(task)
            expected = self._tasks + len(records) + 1
            if not problem and task.id != expected:
                problem = f"task number {task.id} where {expected} is next"
            if problem:
                raise TraceError(f"a trace cannot hold {problem}", "Tasks are numbered 1, 2, 3 ... in order.")
            record = layout.pack_task(task)
            records.append(record)
            size += len(record)
            if size >= _TASKS_BLOCK_BYTES:
                self._tasks_block(records)
                records, size = [], 0
        if records:
            self._tasks_block(records)
        self._renames.add(tasks)

    def _tasks_block(self, records: list[bytes]) -> None:
        head = layout.TASKS_HEAD.pack(self._tasks + 1, len(records))
        self._block(layout.TASKS, head + b"".join(records))
        self._tasks += len(records)

    def _write_start(self, on: list[tuple[int, int]]) -> None:
        for cpu, task in on:
            problem = layout.cpu_problem(cpu)
            if not problem and not 0 <= task <= self._tasks:
                problem = f"task {task} of {self._tasks} on CPU {cpu}"
            if problem:
                raise TraceError(f"a trace cannot hold {problem}", "Define tasks before they are named.")
        self._block(layout.START, b"".join(layout.START_ENTRY.pack(cpu, task) for cpu, task in on))

    def _events_block(self, payload: memoryview) -> None:
        self._block(layout.EVENTS, payload)
        if len(payload) == self._limit:
            self._limit = min(2 * self._limit, layout.EVENTS_BLOCK_BYTES)

    def _block(self, type_: int, payload: bytes | memoryview) -> None:
        self._put(layout.pack_header(type_, 0, self._number, self._tasks, payload))
        self._put(payload)
        pad = layout.padding(len(payload))
        if pad:
            self._put(bytes(pad))
        self._file.flush()
        self._number += 1

    def _put(self, data: bytes | memoryview) -> None:
        """Write all of *data*; a raw file may take less than it is given."""
        done = self._file.write(data)
        while done is not None and done < len(data):
            data = memoryview(data)[done:]
            done = self._file.write(data)
