"""zstd, from whichever library is there: Python 3.14's own, or ``zstandard``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from pvreplay.errors import TraceError, UsageError

SLICE = 1024
"""Input bytes at a time.  A block of 4 bytes may stand for 128 KiB, so a slice is 32 MiB at most."""
MAX_OUTPUT = 1 << 28
"""No chunk or record of a recording is larger once unpacked."""


class Stream(Protocol):
    """A decompressor fed piece by piece."""

    def decompress(self, data: bytes) -> bytes: ...


def _native() -> Any:
    try:
        return import_module("compression.zstd")
    except ImportError:
        return None


class _Frames:
    """A decompressor over frame after frame."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._frame = make()

    def decompress(self, data: bytes) -> bytes:
        """What *data* adds."""
        parts = []
        while data:
            if self._frame.eof:
                self._frame = self._make()
            parts.append(self._frame.decompress(data))
            data = self._frame.unused_data if self._frame.eof else b""
        return parts[0] if len(parts) == 1 else b"".join(parts)


def open_stream(where: str) -> Stream:
    """A decompressor for one stream of any length.

    Raises UsageError naming what to install when no library is there.
    """
    native = _native()
    if native is not None:
        return _Frames(native.ZstdDecompressor)
    try:
        library = import_module("zstandard")
    except ImportError:
        raise UsageError(
            f"{where}: compressed with zstd, and there is no zstd library for this Python",
            "Install one: pip install 'pvreplay[zstd]' (or pip install zstandard).",
        ) from None
    maker = library.ZstdDecompressor(max_window_size=1 << 27)
    return _Frames(maker.decompressobj)


def unpack(stream: Stream, data: bytes, where: str) -> bytes:
    """What *data* adds to the stream.  Raises TraceError when it is damaged or expands beyond reason."""
    if len(data) <= SLICE:
        return _step(stream, data, where)
    parts = []
    total = 0
    for at in range(0, len(data), SLICE):
        part = _step(stream, data[at : at + SLICE], where)
        parts.append(part)
        total += len(part)
        if total > MAX_OUTPUT:
            raise TraceError(
                f"{where}: {len(data)} compressed bytes expand to more than {MAX_OUTPUT}",
                "No recorder writes such a block; the file is damaged.",
            )
    return b"".join(parts)


def _step(stream: Stream, data: bytes, where: str) -> bytes:
    try:
        return stream.decompress(data)
    except Exception as error:  # each library has its own class for damaged input
        raise TraceError(f"{where}: zstd: {error}", "The compressed data is damaged or cut.") from None


class Blocks:
    """Unpacks whole frames of a known size; the decompressor is made once.

    Raises UsageError naming what to install when no library is there.
    """

    def __init__(self, where: str) -> None:
        self._native = _native()
        self._library: Any = None
        if self._native is None:
            open_stream(where)  # says what to install
            self._library = import_module("zstandard")
            self._decompressor = self._library.ZstdDecompressor(max_window_size=1 << 27)

    def unpack(self, data: bytes, size: int, where: str) -> bytes:
        """The frame *data*, of at most *size* bytes.  Raises TraceError when it is damaged."""
        try:
            if self._library is None:
                return bytes(self._native.ZstdDecompressor().decompress(data, size))
            promised = self._library.frame_content_size(data)
            if promised <= size:
                return bytes(self._decompressor.decompress(data, max_output_size=size))
        except Exception as error:  # each library has its own class for damaged input
            raise TraceError(f"{where}: zstd: {error}", "The compressed data is damaged or cut.") from None
        raise TraceError(f"{where}: a zstd frame of {promised} bytes, {size} were promised")
