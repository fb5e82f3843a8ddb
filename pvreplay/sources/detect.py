"""Which recording is it?  ``open_trace`` looks at the first bytes and opens the right source.

Nothing is judged by a file's name.  What is read from a pipe to find out is handed on, so a stream
works like a file.  Each source's module is imported only when its recording is met.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Protocol, cast

from pvreplay.errors import TraceError, UsageError
from pvreplay.trace.layout import MAGIC
from pvreplay.trace.model import Trace

TEXT_MAGIC: Final = b"# pvreplay trace"
HEAD_BYTES: Final = 1 << 16
"""Enough of a recording to tell what it is."""
FUNCTION_TRACER: Final = b"# tracer: function"
"""Also the beginning of function_graph's first line."""
PAGE_HEAD_BYTES: Final = 1 << 24
"""An HTML page carries its trace behind its scripts."""

MAGICS: Final = (
    (b"PERFILE2", "perfdata"),
    (b"2ELIFREP", "perfdata"),
    (b"PERFFILE", "perfdata"),
    (b"\x17\x08\x44tracing", "tracedat"),
)
"""First bytes -> module of pvreplay.sources with ``open``."""
SNIFFERS: Final = ("perfetto", "rawpages", "ctf", "xentrace")
"""Modules with ``sniff(head)`` for formats without a magic number, asked in this order."""
DIRECTORIES: Final = ("perfdir", "rawpages", "ctf")
"""Modules with ``sniff_directory(path)``."""
FORMATS: Final = {
    "trace.bin": "pvreplay's own file",
    "text": "pvreplay's own text form",
    "ftrace": "ftrace text: trace, trace_pipe, trace-cmd report, systrace",
    "perf-script": "the text of perf script",
    "perf.data": "perf record's file or pipe",
    "trace.dat": "trace-cmd's file",
}
"""Values of *format*."""
ATRACE_SAYS: Final = b"TRACE:\n"
"""What atrace -z writes before the packed text."""
_HINT: Final = (
    "Read are: trace.bin and its text form, perf.data, trace.dat, Perfetto, ftrace and perf script text "
    "(pvreplay formats lists all)."
)


class Stream(io.RawIOBase):
    """A stream whose first bytes can be looked at and are still read afterwards."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._head = b""
        self._at = 0
        self._ended = False

    def look(self, count: int) -> bytes:
        """The next bytes, without taking them: *count*, or fewer at the end."""
        parts = [self._head[self._at :]]
        ready = len(parts[0])
        buffer = bytearray(min(count, HEAD_BYTES))
        while ready < count and not self._ended:
            got = self._read_raw(memoryview(buffer)[: count - ready])
            parts.append(bytes(buffer[:got]))
            ready += got
        self._head, self._at = b"".join(parts), 0
        return self._head[:count]

    @property
    def damage(self) -> str:
        """What is wrong with a packed file, once reading has come to it."""
        return str(getattr(self._raw, "damage", ""))

    def is_file(self, path: str) -> bool:
        """Whether it is a file as it stands at *path*, neither packed nor a pipe."""
        return path != "-" and isinstance(self._raw, io.FileIO) and stat.S_ISREG(os.stat(path).st_mode)

    def readable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """That of the stream below."""
        return int(self._raw.fileno())

    def readinto(self, buffer: Any) -> int:
        """Take the next bytes."""
        ready = min(len(buffer), len(self._head) - self._at)
        if ready:
            buffer[:ready] = self._head[self._at : self._at + ready]
            self._at += ready
            if self._at == len(self._head):
                self._head, self._at = b"", 0
            return ready
        return 0 if self._ended else self._read_raw(memoryview(buffer))

    def _read_raw(self, buffer: memoryview) -> int:
        got = self._raw.readinto(buffer) or 0
        if not got:
            self._ended = True
        return int(got)


class _Source(Protocol):
    """A source's module."""

    def open(self, source: object, assume: Mapping[str, str] | None, path: str) -> Trace: ...
    def sniff(self, head: bytes) -> bool: ...
    def sniff_directory(self, path: str) -> bool: ...


def open_trace(
    path: str,
    *,
    assume: Mapping[str, str] | None = None,
    format: str | None = None,
    level: str | None = None,
) -> Trace:
    """The trace in a file, a directory, or on standard input ("-").

    *assume* are values for what a recording does not tell (``assume.py``); *format*, a key of
    FORMATS, skips looking at the content.  *level* is "switch" or "op": text of the function
    tracers and of Xen's tracepoints can be read as either (``opstream.py``), and is read as
    switches when None and there are any.  Raises UsageError for a missing file, a directory that
    holds no recording, a wrong *assume* or *format*, a *level* the recording does not have;
    TraceError for content that is not read here.
    """
    if level == "op":
        from pvreplay.sources.opstream import with_ops

        return with_ops(path, lambda: _open(path, assume, format, level))
    return _open(path, assume, format, level)


def _open(path: str, assume: Mapping[str, str] | None, format: str | None, level: str | None) -> Trace:
    from pvreplay.sources.assume import check_assume

    check_assume(assume or {})
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format}: no such format", "Allowed: " + ", ".join(FORMATS) + ".")
    if path == "-":
        return _open_stream(Stream(_stdin()), path, assume or {}, format, level)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return _open_directory(path, assume or {})
        raw = io.FileIO(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Name a recording, or - for standard input.") from None
    stream = Stream(raw)
    head = stream.look(16)
    if stat.S_ISREG(status.st_mode):
        if head.startswith(MAGIC) and format in (None, "trace.bin"):
            from pvreplay.trace.binary_read import BinaryTrace

            raw.seek(0)
            return BinaryTrace.from_file(raw, path)
        name = _by_magic(head)
        if name and format is None:
            raw.close()
            return _binary(name, head, path, path, assume or {}, level)
    return _open_stream(stream, path, assume or {}, format, level)


def _open_stream(
    stream: Stream, path: str, assume: Mapping[str, str], format: str | None, level: str | None = None
) -> Trace:
    head = stream.look(16)
    if format is None:
        if not head and stream.damage:
            raise TraceError(f"{path}: {stream.damage}", "Nothing of it can be read.")
        if not head:
            raise TraceError(f"{path}: empty", "A recording was expected. " + _HINT)
        packed = unpacked(stream, head, path)
        if packed is not None:
            return _open_stream(Stream(packed), path, assume, None, level)
        if head.lstrip()[:1] == b"{":
            from pvreplay.sources.jsontext import JsonText, is_json_trace

            if is_json_trace(stream.look(HEAD_BYTES)):
                return _open_stream(Stream(JsonText(stream, path)), path, assume, None, level)
    if format == "trace.bin" or (format is None and head.startswith(MAGIC)):
        from pvreplay.trace.binary_read import BinaryTrace

        return BinaryTrace.from_stream(cast(Any, stream), path)
    if format == "text" or (format is None and stream.look(len(TEXT_MAGIC)) == TEXT_MAGIC):
        from pvreplay.trace.text import TextTrace

        return TextTrace(cast(Any, stream), path)
    name = {"perf.data": "perfdata", "trace.dat": "tracedat"}.get(format or "", "") or (
        _by_magic(head) if format is None else ""
    )
    if name:
        return _binary(name, head, stream, path, assume, level)
    if level == "op" or (level is None and FUNCTION_TRACER in stream.look(256)):
        from pvreplay.sources.opstream import open_ops

        ops = open_ops(stream, path, asked=level == "op")
        if ops is not None:
            return ops
    style = {"ftrace": "ftrace", "perf-script": "perf"}.get(format or "") or _text_style(stream, path)
    if style:
        from pvreplay.sources.recover import RecoveredTrace
        from pvreplay.sources.textsource import TextSource

        return RecoveredTrace(TextSource(stream, style, path), assume)
    head = stream.look(HEAD_BYTES)
    for name in SNIFFERS:
        module = _find_module(name)
        if module is not None and module.sniff(head):
            return module.open(path if stream.is_file(path) else stream, assume, path)
    raise TraceError(f"{path}: not a recording: {_describe(head)}", _HINT)


def _binary(
    name: str, head: bytes, source: Any, path: str, assume: Mapping[str, str], level: str | None
) -> Trace:
    """What the source *name* reads from a path or a stream; as pv ops when those are asked for."""
    module = _module(name, head, path)
    if level == "op" and name == "tracedat":
        from pvreplay.sources import tracedat_ops
        from pvreplay.sources.opstream import no_ops

        ops = tracedat_ops.open(source, path)
        if ops is not None:
            return ops
        if not isinstance(source, str):
            raise no_ops(path, "trace.dat")
    return module.open(source, assume, path)


def _text_style(stream: Stream, path: str) -> str:
    """The style of text the stream holds; "" when it is no text that is read here."""
    head = stream.look(4096)
    if b"\0" in head and not head.startswith(b"# tracer:"):
        return ""
    from pvreplay.sources.textsniff import is_page, sniff_text

    try:
        for size in (4096, HEAD_BYTES, PAGE_HEAD_BYTES if is_page(head) else HEAD_BYTES):
            style = sniff_text(stream.look(size))
            if style:
                return style
    except TraceError as error:
        raise TraceError(f"{path}: {error.message}", error.hint) from None
    return ""


def _open_directory(path: str, assume: Mapping[str, str]) -> Trace:
    for name in DIRECTORIES:
        module = _find_module(name)
        if module is not None and hasattr(module, "sniff_directory") and module.sniff_directory(path):
            return module.open(path, assume, path)
    raise UsageError(f"{path}: a directory that holds no recording", "Name the recording's file. " + _HINT)


def _by_magic(head: bytes) -> str:
    return next((name for magic, name in MAGICS if head.startswith(magic)), "")


def _find_module(name: str) -> _Source | None:
    try:
        module: ModuleType = import_module(f"pvreplay.sources.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"pvreplay.sources.{name}":
            raise
        return None
    return cast(_Source, module)


def _module(name: str, head: bytes, path: str) -> _Source:
    module = _find_module(name)
    if module is None:
        raise TraceError(f"{path}: {_describe(head)}, which is not read here", _HINT)
    return module


def unpacked(stream: Stream, head: bytes, path: str) -> Any:
    """What a packed file holds, to make a :class:`Stream` of; None when it is not packed."""
    if head.startswith(b"\x1f\x8b"):
        import gzip

        return _Unpacker(gzip.GzipFile(fileobj=cast(Any, io.BufferedReader(stream))))
    if head.startswith(b"\xfd7zXZ\0"):
        import lzma

        return _Unpacker(lzma.LZMAFile(cast(Any, io.BufferedReader(stream))))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        from pvreplay.sources import zstd

        return _Zstd(stream, zstd.open_stream(path), path)
    start = stream.look(len(ATRACE_SAYS) + 64).find(ATRACE_SAYS)
    if start >= 0 and stream.look(start + len(ATRACE_SAYS) + 1)[-1:] == b"\x78":
        stream.read(start + len(ATRACE_SAYS))
        return _Unpacker(_Zlib(stream))
    return None


class _Zlib:
    """What a stream of zlib holds, as a file."""

    def __init__(self, stream: Stream) -> None:
        import zlib

        self._stream = stream
        self._unpacker = zlib.decompressobj()

    def read1(self, size: int) -> bytes:
        """Up to *size* bytes; b"" at the end.  Raises EOFError when the end is missing."""
        data = b""
        while not data and not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or self._stream.read(1 << 16)
            if not packed:
                raise EOFError("the end of the packed text is missing")
            data = self._unpacker.decompress(packed, size)
        return data


class _Unpacker:
    """A decompressing file with ``readinto``; it ends where the file is damaged, and says so."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.damage = ""

    def readinto(self, buffer: memoryview) -> int:
        try:
            data = self._file.read1(len(buffer))
        except Exception as error:  # EOFError, OSError, zlib.error, LZMAError
            self.damage = f"the compressed file is damaged or cut: {error}"
            return 0
        buffer[: len(data)] = data
        return len(data)


class _Zstd:
    """The same for zstd."""

    def __init__(self, stream: Stream, unpacker: Any, path: str) -> None:
        self._stream = stream
        self._unpacker = unpacker
        self._path = path
        self._ready = memoryview(b"")
        self.damage = ""

    def readinto(self, buffer: memoryview) -> int:
        from pvreplay.sources import zstd

        while not self._ready:
            block = self._stream.read(1 << 16)
            if not block:
                return 0
            try:
                self._ready = memoryview(zstd.unpack(self._unpacker, block, self._path))
            except TraceError as error:
                self.damage = error.message
                return 0
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def _stdin() -> Any:
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:
        raise UsageError("-: standard input is closed", "Name a recording.")
    return getattr(buffer, "raw", buffer)


def _describe(head: bytes) -> str:
    """The first bytes, printable."""
    start = head[:24]
    text = start.split(b"\n")[0].rstrip(b"\r") if b"\0" not in start else b""
    if text and all(32 <= byte < 127 for byte in text):
        return f'it begins "{text.decode()}"'
    return "its first bytes are " + " ".join(f"{byte:02x}" for byte in head[:8])
