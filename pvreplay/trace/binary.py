"""trace.bin: what others need of it (traces/FORMAT.md)."""

from __future__ import annotations

from pvreplay.trace.binary_read import BinaryTrace
from pvreplay.trace.binary_write import BinaryWriter, write_binary
from pvreplay.trace.layout import EVENTS_BLOCK_BYTES, MAGIC, VERSION

__all__ = ["EVENTS_BLOCK_BYTES", "MAGIC", "VERSION", "BinaryTrace", "BinaryWriter", "write_binary"]
