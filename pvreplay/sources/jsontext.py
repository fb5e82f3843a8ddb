"""Chrome's JSON traces: the ftrace text in their ``systemTraceEvents``, as a stream of that text.

The format is Chrome's Trace Event Format: an object with ``traceEvents`` (of programs, nothing of the
scheduler) and, when the system was traced too, the kernel's text as one string.  The string is read in
blocks, so that a file of any size costs no memory.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from pvreplay.errors import TraceError

KEYS: Final = (b'"traceEvents"', b'"systemTraceEvents"')
BLOCK_BYTES: Final = 1 << 18
START: Final = re.compile(rb'"systemTraceEvents"\s*:\s*(\S)')
START_BYTES: Final = 64
"""Kept of a block, as the key may go over its end."""
STRING: Final = re.compile(rb'[^"\\]*(?:\\(?:u[0-9A-Fa-f]{4}|[^u])[^"\\]*)*', re.S)
"""A string's content as far as its escapes are whole."""
HIGH_AT_END: Final = re.compile(rb"\\u[dD][89abAB][0-9A-Fa-f]{2}\Z")
ESCAPE: Final = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})(?:\\u([dD][c-fC-F][0-9A-Fa-f]{2}))?|(.))", re.S)
LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}


class Readable(Protocol):
    """What the text is read from."""

    def read(self, size: int, /) -> bytes | None: ...


def is_json_trace(head: bytes) -> bool:
    """Whether a recording that begins so is a JSON trace."""
    return head.lstrip()[:1] == b"{" and any(key in head for key in KEYS)


class JsonText:
    """The text, as a file with ``readinto``.

    Raises TraceError when there is none.  *damage* says that the end is missing.
    """

    def __init__(self, stream: Readable, path: str) -> None:
        self.damage = ""
        self._stream = stream
        self._ready = b""
        self._ended = False
        self._rest = self._find(path)

    def _find(self, path: str) -> bytes:
        """Read up to the string; what was read of it."""
        block = b""
        while more := self._stream.read(BLOCK_BYTES):
            block = block[-START_BYTES:] + more
            found = START.search(block)
            if found and found[1] == b'"':
                return block[found.end() :]
            if found:
                break
        raise TraceError(
            f"{path}: a JSON trace without the kernel's text (systemTraceEvents)",
            "Its traceEvents hold no context switch; record the system too, or give ftrace's own text.",
        )

    def readinto(self, buffer: memoryview) -> int:
        """Up to len(*buffer*) bytes of the text; 0 at its end."""
        while not self._ready and not self._ended:
            self._unpack()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self) -> None:
        """Make the next block of the string ready."""
        more = self._stream.read(BLOCK_BYTES) or b""
        block = self._rest + more
        found = STRING.match(block)
        end = found.end() if found else 0
        if end < len(block) and block[end : end + 1] == b'"':
            self._ended = True
        elif not more or len(block) - end > START_BYTES:
            self._ended = True
            self.damage = (
                "the JSON file ends inside systemTraceEvents" if not more else "systemTraceEvents is damaged"
            )
        elif HIGH_AT_END.search(block, max(0, end - 6), end):
            end -= 6  # the other half is in the next block
        self._ready = ESCAPE.sub(_character, block[:end])
        self._rest = block[end:]


def _character(found: re.Match[bytes]) -> bytes:
    """What an escape stands for, as UTF-8."""
    first, second, letter = found.groups()
    if letter is not None:
        return LETTERS.get(letter, letter)
    code = int(first, 16)
    text = chr(code)
    if second is not None:
        low = int(second, 16)
        high = 0xD800 <= code < 0xDC00
        text = chr(0x10000 + (code - 0xD800 << 10) + low - 0xDC00) if high else text + chr(low)
    return text.encode("utf-8", "surrogatepass")
