"""Streams that have to be read at any place: a copy in an unnamed temporary file, mapped."""

from __future__ import annotations

import mmap
from typing import BinaryIO

from pvreplay.errors import TraceError

BLOCK = 1 << 20


def map_stream(stream: BinaryIO, head: bytes, path: str) -> memoryview:
    """All of *head* and what *stream* still gives, as a read-only view of a temporary file.

    Raises TraceError when there is no room for the copy.
    """
    import tempfile

    try:
        with tempfile.TemporaryFile() as copy:
            copy.write(head)
            while block := stream.read(BLOCK):
                copy.write(block)
            copy.flush()
            if not copy.tell():
                return memoryview(b"")
            return memoryview(mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise TraceError(
            f"{path}: cannot be copied to a temporary file: {error.strerror}",
            "This format is read at many places at once: store it in a file and name that, or set TMPDIR.",
        ) from None
