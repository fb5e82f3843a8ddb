"""What trace.dat version 7 packs: sections and the CPUs' pages, in chunks of zstd or zlib."""

from __future__ import annotations

import zlib
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import zstd

MAX_SECTION: Final = 1 << 28


class Unpacker:
    """Unpacks the chunks of one file, in any thread."""

    def __init__(self, path: str, compression: str) -> None:
        self.path = path
        self.compression = compression
        self._idle: list[zstd.Blocks] = []
        """Decompressors nobody is using."""

    def unpack(self, packed: bytes, plain: int, at: int) -> bytes:
        """A chunk that unpacks to *plain* bytes; it stands at *at*.

        Raises TraceError when it does not.
        """
        where = f"{self.path}: offset {at:#x}"
        if plain > MAX_SECTION:
            raise TraceError(f"{where}: a chunk of {plain} bytes", "The file is damaged.")
        if self.compression == "zstd":
            data = self._zstd(packed, plain, where)
        elif self.compression == "zlib":
            try:
                data = zlib.decompressobj().decompress(packed, plain)
            except zlib.error as error:
                raise TraceError(f"{where}: zlib: {error}", "The compressed data is damaged.") from None
        else:
            raise TraceError(f"{where}: a compressed section in a file that says it has none")
        if len(data) != plain:
            raise TraceError(f"{where}: a chunk unpacks to {len(data)} bytes, {plain} were promised")
        return data

    def _zstd(self, packed: bytes, plain: int, where: str) -> bytes:
        try:
            blocks = self._idle.pop()
        except IndexError:
            blocks = zstd.Blocks(self.path)
        data = blocks.unpack(packed, plain, where)
        self._idle.append(blocks)
        return data
