"""Numbers in bytes, lowest byte first, as x86 has them: what the binary formats' walks read.

For compiled modules run interpreted; compiled ones take the functions of the same names from
``loads.pxd``, which are a load each.  Nobody checks *at* here: the walks know what is there.
"""

from __future__ import annotations

Bytes = memoryview | bytes | bytearray


def load16(data: Bytes, at: int) -> int:
    """The two bytes at *at*."""
    return data[at] | data[at + 1] << 8


def load32(data: Bytes, at: int) -> int:
    """The four bytes at *at*."""
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24


def load64(data: Bytes, at: int) -> int:
    """The eight bytes at *at*."""
    return load32(data, at) | load32(data, at + 4) << 32
