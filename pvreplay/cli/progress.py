"""A line of progress on a terminal's stderr; nothing anywhere else."""

from __future__ import annotations

import sys
import time

QUIET_S = 0.5
"""A run shorter than this shows nothing."""
PAUSE_S = 0.1


class Progress:
    """Call it with the number of events read so far; :meth:`done` wipes the line."""

    def __init__(self) -> None:
        self._next = time.monotonic() + QUIET_S
        self._start = time.monotonic()
        self._shown = False

    def __call__(self, events: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PAUSE_S
        self._shown = True
        rate = events / (now - self._start) / 1e6
        sys.stderr.write(f"\r\x1b[K{events:,} events, {rate:.1f} million/s")
        sys.stderr.flush()

    def done(self) -> None:
        """Leave no trace on the terminal."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def progress() -> Progress | None:
    """A progress line when stderr is a terminal that can move its cursor, and one thread to move it."""
    import os
    from threading import current_thread, main_thread

    if current_thread() is not main_thread():
        return None

    if sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb"):
        return Progress()
    return None
