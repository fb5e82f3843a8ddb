"""Directories of ``perf record --threads`` and ``--kcore``: their files joined to one perf.data.

``data`` is a perf.data whose data section holds what no CPU's buffer gave; ``data.0``, ``data.1`` ... are
the records of the threads, with no header (tools/perf/util/data.c, perf_data__create_dir).  They
are put behind the data section of a temporary copy, which is then read as any perf.data.  The marks
that say how far a file is in order (FINISHED_ROUND) hold for one file alone and are taken out.
"""

from __future__ import annotations

import builtins
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, BinaryIO, Final

from pvreplay.errors import TraceError, UsageError
from pvreplay.sources.perfdata import PerfData
from pvreplay.sources.perfdata_head import MAGIC
from pvreplay.trace.model import Trace

NAME: Final = "perf dir"
EXTENSIONS: Final = ("data", "data.0")
ABOUT: Final = "perf record --threads and --kcore: a directory of perf.data and the data of its threads"

HEADER_BYTES: Final = 104
"""struct perf_file_header (tools/perf/util/header.h): ten words, then 256 bits of features."""
DATA_OFFSET: Final = 40
DATA_SIZE: Final = 48
FEATURES: Final = 72
RECORD: Final = struct.Struct("<IHH")
FINISHED_ROUND: Final = 68
FINISHED_INIT: Final = 82
"""Says nothing about order, and is as long."""
COMPRESSED: Final = (81, 83)
BLOCK: Final = 1 << 20


def sniff_directory(path: str) -> bool:
    """Whether a directory holds a perf.data called data."""
    try:
        with builtins.open(os.path.join(path, "data"), "rb") as file:
            return file.read(8) == MAGIC
    except OSError:
        return False


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> Trace:
    """The trace in a directory of perf.  Raises TraceError for one whose threads packed what they wrote."""
    from pvreplay.sources.recover import RecoveredTrace

    if not isinstance(source, str):
        raise UsageError(f"{path}: a stream", "Name the directory.")
    with tempfile.NamedTemporaryFile(prefix="pvreplay-perf-") as copy:
        try:
            damage = _join(source, copy)
            copy.flush()
            recording = PerfData(copy.name)
        except TraceError as error:
            raise TraceError(error.message.replace(copy.name, source), error.hint) from None
        except OSError as error:
            raise TraceError(
                f"{source}: cannot be joined in a temporary file: {error.strerror}",
                "Set TMPDIR to where there is room.",
            ) from None
    recording.path = source
    recording.damage = recording.damage or damage
    return RecoveredTrace(recording, assume)


def _join(directory: str, copy: IO[bytes]) -> str:
    """Write the files as one to *copy*; what of them is damaged."""
    parts = sorted(
        (int(name[5:]), name)
        for name in os.listdir(directory)
        if name.startswith("data.") and name[5:].isdigit()
    )
    damage = ""
    with builtins.open(os.path.join(directory, "data"), "rb") as main:
        header = main.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            raise TraceError(f"{directory}: data ends inside its header")
        start = int.from_bytes(header[DATA_OFFSET : DATA_OFFSET + 8], "little")
        size = int.from_bytes(header[DATA_SIZE : DATA_SIZE + 8], "little")
        if not HEADER_BYTES <= start <= os.fstat(main.fileno()).st_size:
            raise TraceError(f"{directory}: data: its data section is at {start:#x}, behind its end")
        copy.write(header + main.read(start - HEADER_BYTES))
        written = 0
        for records in _whole_records(main, size, directory):
            written += copy.write(records)
        if written < size:
            damage = f"data: {size - written} bytes of its data section are missing"
        for _, name in parts:
            path = os.path.join(directory, name)
            length = os.path.getsize(path)
            with builtins.open(path, "rb") as file:
                taken = 0
                for records in _whole_records(file, length, directory):
                    taken += copy.write(records)
            if taken < length:
                damage = damage or f"{name}: the last {length - taken} of {length} bytes are no whole record"
            written += taken
        main.seek(start + size)
        copy.write(_features(header, main.read(), start + size, written - size))
    copy.seek(DATA_SIZE)
    copy.write(written.to_bytes(8, "little"))
    copy.seek(0, os.SEEK_END)
    return damage


def _whole_records(file: BinaryIO, size: int, directory: str) -> Iterator[bytes]:
    """The records of the next *size* bytes, block by block, without marks of rounds.

    Ends before one that is not whole.
    """
    rest = b""
    while size > 0 and (more := file.read(min(BLOCK, size))):
        size -= len(more)
        block = bytearray(rest + more)
        at, end = 0, len(block)
        while at + RECORD.size <= end:
            kind, _, length = RECORD.unpack_from(block, at)
            if length < RECORD.size or at + length > end:
                break
            if kind == FINISHED_ROUND:
                block[at] = FINISHED_INIT
            elif kind in COMPRESSED:
                raise TraceError(
                    f"{directory}: recorded by threads that packed what they wrote", "Record without -z."
                )
            at += length
        yield bytes(block[:at])
        rest = bytes(block[at:])
        if len(rest) >= RECORD.size and RECORD.unpack_from(rest)[2] < RECORD.size:
            return


def _features(header: bytes, rest: bytes, end: int, moved: int) -> bytes:
    """What stands behind the data section: a table of places, which have *moved*, and what is there."""
    count = int.from_bytes(header[FEATURES:HEADER_BYTES], "little").bit_count()
    table = bytearray(rest[: 16 * count])
    for at in range(0, len(table) - 15, 16):
        place = int.from_bytes(table[at : at + 8], "little")
        if place >= end:
            table[at : at + 8] = (place + moved).to_bytes(8, "little")
    return bytes(table) + rest[16 * count :]
