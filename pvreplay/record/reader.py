"""One thread a CPU: whole pages by splice, and what is left of one by read.

splice hands over full pages without copying them in the kernel, but nothing of
the page that is being written.  So four times a second, and at the end, that
one is fetched by read().  Which times a CPU can no longer bring is told by
:attr:`CpuReader.bound_ns`: it lets the merge go on past a CPU that is idle.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
import time
from collections import deque
from typing import Final

from pvreplay.errors import UsageError
from pvreplay.record.tracefs import Instance

TICK_S: Final = 0.25
"""How often the page being written is fetched, and a bound is told."""
NICE: Final = -20
PAUSE_S: Final = 0.005
ASK_S: Final = 0.02
ASK_BYTES: Final = 1 << 20
PIPE_BYTES: Final = 1 << 20
QUEUE_BYTES: Final = 48 << 20
"""Undecoded pages of all CPUs together; beyond it they wait in the kernel's buffers."""
QUEUE_LEAST: Final = 1 << 20
F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", 1031)
SPLICE_FLAGS: Final = getattr(os, "SPLICE_F_MOVE", 1) | getattr(os, "SPLICE_F_NONBLOCK", 2)


def hurry() -> None:
    """Let this thread run before others: what is recorded may want every CPU, and a recorder has
    little to do, but not later.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class CpuReader:
    """Reads one CPU's buffer until :meth:`Readers.finish`.

    Pages are appended to *blocks*; whoever takes them holds *changed*.
    *bound_ns*: every event of this CPU that is not in *blocks* (or was) is at
    that time or later.  *error* is a sentence when reading failed.
    """

    def __init__(self, instance: Instance, cpu: int, page_size: int, room: int, shared: Readers) -> None:
        self.cpu = cpu
        self.blocks: deque[bytes] = deque()
        self.held = 0
        self.bound_ns = 0
        self.ended = False
        self.error = ""
        self.bytes_read = 0
        self._instance = instance
        self._page_size = page_size
        self._room = room
        self._shared = shared
        self._thread = threading.Thread(target=self._run, name=f"cpu{cpu}", daemon=True)
        self._raw = self._source = self._sink = self._wake = -1

    def open(self) -> None:
        """Open the CPU's pages and a pipe; UsageError with the kernel's reason."""
        path = self._instance.file("per_cpu", f"cpu{self.cpu}", "trace_pipe_raw")
        try:
            self._raw = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            self._source, self._sink = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}", "Fewer CPUs (--cpu) need fewer open files."
            ) from None
        # Without the right to a large pipe, the ordinary one is emptied more often.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._sink, F_SETPIPE_SZ, PIPE_BYTES)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def wake(self) -> None:
        """Let the thread fetch everything and tell a new bound now, or end if it shall."""
        os.eventfd_write(self._wake, 1)

    def join(self) -> None:
        """Wait for the thread."""
        if self._thread.ident is not None:
            self._thread.join()

    def close(self) -> None:
        """Close the files; the thread has ended."""
        for handle in (self._raw, self._source, self._sink, self._wake):
            if handle >= 0:
                os.close(handle)
        self._raw = self._source = self._sink = self._wake = -1

    # --- the thread --------------------------------------------------------------------------
    def _run(self) -> None:
        hurry()
        try:
            self._read_until_told()
            self._drain()
        except OSError as error:
            self.error = f"the pages of CPU {self.cpu} could not be read: {error.strerror}"
        except UsageError as error:
            self.error = error.message
        finally:
            with self._shared.changed:
                self.ended = True
                self._shared.tell()

    def _read_until_told(self) -> None:
        poll = select.poll()
        poll.register(self._raw, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        before = self._instance.stats(self.cpu).now_ns
        due = time.monotonic() + TICK_S
        while not self._shared.finishing:
            ready = poll.poll(max(0, int((due - time.monotonic()) * 1000) + 1))
            if any(handle == self._wake for handle, _ in ready):
                os.eventfd_read(self._wake)
            elif time.monotonic() < due:
                if not self._splice():
                    # Readable, but no page is full yet: poll would say so again at once.
                    time.sleep(PAUSE_S)
                continue
            now = self._instance.stats(self.cpu).now_ns
            self._drain()
            # An event may be stamped some time before it can be read: what was stamped before the
            # last tick has long been complete.
            with self._shared.changed:
                self.bound_ns = max(self.bound_ns, before)
                self._shared.tell()
            before = now
            due = time.monotonic() + TICK_S

    def _drain(self) -> None:
        """Everything that is in the buffer now."""
        while self._splice():
            pass
        while self._read():
            pass

    def _splice(self) -> bool:
        """Fetch full pages, as many as the pipe takes; False when there was none."""
        try:
            moved = os.splice(self._raw, self._sink, PIPE_BYTES, flags=SPLICE_FLAGS)
        except BlockingIOError:
            return False
        if not moved:
            return False
        left = moved
        while left > 0:
            block = os.read(self._source, left)
            left -= len(block)
            self._keep(block)
        return True

    def _read(self) -> bool:
        """Fetch (the rest of) one page; False when the buffer is empty."""
        try:
            block = os.read(self._raw, self._page_size)
        except BlockingIOError:
            return False
        if block:
            self._keep(block)
        return bool(block)

    def _keep(self, block: bytes) -> None:
        """Queue a block once there is room for it."""
        with self._shared.changed:
            while self.held > self._room:
                self._shared.changed.wait()
            self.blocks.append(block)
            self.held += len(block)
            self.bytes_read += len(block)
            self._shared.tell()


class Readers:
    """The readers of all CPUs and what they share; a context that stops the threads and closes files."""

    def __init__(self, instance: Instance, cpus: list[int], page_size: int) -> None:
        self.changed = threading.Condition()
        """Held to look at or change any reader's queue, bound or end; :meth:`tell` when one changed."""
        self.version = 0
        """How often something changed."""
        self.finishing = False
        self._asked = 0.0
        room = max(QUEUE_LEAST, QUEUE_BYTES // max(1, len(cpus)))
        self.all = [CpuReader(instance, cpu, page_size, room, self) for cpu in cpus]

    def __enter__(self) -> Readers:
        try:
            for reader in self.all:
                reader.open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        with self.changed:
            for reader in self.all:  # whoever waits for room need not any more
                reader.blocks.clear()
                reader.held = -(1 << 62)
            self.tell()
        for reader in self.all:
            reader.join()
        self._close()

    def _close(self) -> None:
        for reader in self.all:
            reader.close()

    def tell(self) -> None:
        """Something has changed; the caller holds *changed*."""
        self.version += 1
        self.changed.notify_all()

    def wait(self, version: int, timeout_s: float) -> None:
        """Return when something has changed since :attr:`version` was *version*, or the time is over."""
        with self.changed:
            if self.version == version:
                self.changed.wait(timeout_s)

    def start(self) -> None:
        """Begin to read every CPU."""
        for reader in self.all:
            reader.start()

    def finish(self) -> None:
        """Let the threads fetch what is left, and end."""
        if not self.finishing:
            self.finishing = True
            for reader in self.all:
                reader.wake()

    def ask_idle(self) -> None:
        """When undecoded pages pile up because a CPU without any holds them back, ask that one now."""
        now = time.monotonic()
        if now - self._asked < ASK_S or all(reader.held < ASK_BYTES for reader in self.all):
            return
        self._asked = now
        for reader in self.all:
            if not reader.blocks and not reader.ended:
                reader.wake()

    def take(self, reader: CpuReader) -> bytes | None:
        """The next block of one CPU, if there is one now."""
        with self.changed:
            if not reader.blocks:
                return None
            block = reader.blocks.popleft()
            reader.held -= len(block)
            self.changed.notify_all()
            return block
