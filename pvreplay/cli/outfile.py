"""Output that is too long to hold: lines as they come, and files written whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from pvreplay.errors import UsageError

_LINES = 1 << 12
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk, the quota or the largest file."""


@contextmanager
def whole_or_not(path: str) -> Iterator[IO[bytes]]:
    """A binary file that becomes *path* when the block ends well, and vanishes when it does not.

    ``-`` is stdout, and a device or pipe is written as it is: there is nothing to
    keep whole.  Raises :class:`~pvreplay.errors.UsageError` when it cannot be written.
    """
    if path == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as device:
                yield device
            return
        target = os.path.realpath(path)
        temporary = f"{target}.{os.getpid()}.tmp"
        file = open(temporary, "xb")  # noqa: SIM115 - closed before the rename
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Name a file that can be written.") from None
    try:
        with _vanishes_on_signal(temporary):
            with file:
                yield file
            if os.path.exists(target):
                os.chmod(temporary, os.stat(target).st_mode & 0o7777)
            os.replace(temporary, target)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in FULL:
            raise UsageError(f"{path}: {error.strerror}", "Nothing was written.") from None
        raise


def spare_terminal(path: str, form: str) -> None:
    """UsageError for bytes (*form* "bin") to a standard output that somebody looks at."""
    if path == "-" and form == "bin" and sys.stdout.isatty():
        raise UsageError(
            "-: trace.bin is no text, and standard output is a terminal", "Name a file or a pipe."
        )


@contextmanager
def _vanishes_on_signal(path: str) -> Iterator[None]:
    """Take *path* away when SIGTERM or SIGHUP ends the process, which Python lets happen without a word."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        with suppress(OSError):
            os.unlink(path)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # One that is ignored, as under nohup, stays so.
    taken = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def print_lines(lines: Iterable[str]) -> None:
    """Print *lines* as they come; on a terminal that knows ASCII alone, the rest escaped."""
    from itertools import islice

    from pvreplay.cli.options import TextStyle
    from pvreplay.report.escape import ascii_only

    plain = TextStyle(None, False).ascii
    rest = iter(lines)
    while batch := list(islice(rest, _LINES)):
        shown = map(ascii_only, batch) if plain else batch
        sys.stdout.write("\n".join(shown) + "\n")
    sys.stdout.flush()
