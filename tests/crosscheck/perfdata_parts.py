"""Every perf.data below a directory, decoded in parts by several threads and by one reader.

    python tests/crosscheck/perfdata_parts.py DIRECTORY

Word for word, with parts of many sizes; then by name, beside parts as large as they are.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from pvreplay.errors import PvreplayError
from pvreplay.sources import perfdata, perfdata_parts
from pvreplay.sources import records as r
from pvreplay.sources.perfdata import PerfData, sniff

SIZES = (1 << 10, 5000, 1 << 15, 300_000)
NAMED = (r.NEWTASK, r.FORK, r.EXEC, r.RENAME, r.INFO)


def words(path: Path, jobs: int) -> tuple[bytes, list[bytes], dict[str, int], str]:
    """All a source says."""
    source = PerfData(str(path), jobs=jobs)
    block = memoryview(array("Q", bytes(32 * 4096)))
    parts = []
    while count := source.fill(block, 0):
        parts.append(block[: 4 * count].tobytes())
    return b"".join(parts), source.comms, source.doubts, source.damage


def named(found: tuple[bytes, list[bytes], dict[str, int], str]) -> Iterator[tuple[object, ...]]:
    """The records with names instead of their numbers."""
    data, comms = memoryview(found[0]).cast("Q"), found[1]
    for at in range(0, len(data), 4):
        w0, w1, w2, c = data[at : at + 4]
        if w1 >> 16 & 0xFF == r.SWITCH:
            yield w0, w1, w2, comms[c & 0xFFFFFF], comms[c >> 24 & 0xFFFFFF], c >> 48
        else:
            yield w0, w1, w2, comms[c] if w1 >> 16 & 0xFF in NAMED else c


def one(path: Path) -> bool:
    """Compare one file."""
    with path.open("rb") as file:
        if not sniff(file.read(16)):
            return True
    try:
        whole = words(path, 1)
    except PvreplayError as error:
        print(f"-- {path.name}: {error.message}")
        return True
    same = True
    for size in SIZES:
        perfdata_parts.PART_BYTES, perfdata_parts.PART_RECORDS = size, max(64, size >> 6)  # type: ignore[misc]
        alone = words(path, 1)
        same &= words(path, 2) == alone and words(path, 7) == alone
        same &= all(a == b for a, b in zip(named(whole), named(alone), strict=True))
        same &= whole[2:] == alone[2:]
    print(f"{'ok' if same else 'DIFFERENT'} {path.name}: {len(whole[0]) // 32} records")
    perfdata_parts.PART_BYTES, perfdata_parts.PART_RECORDS = 1 << 21, 32768  # type: ignore[misc]
    return same


if __name__ == "__main__":
    perfdata.WORTH_BYTES = 0  # type: ignore[misc]
    files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.is_file() and ".data" in path.name)
    results = [one(path) for path in files]  # all of them, whatever the first ones gave
    sys.exit(0 if results and all(results) else 1)
