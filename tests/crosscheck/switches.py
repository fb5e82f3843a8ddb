"""What the cross-checks share: our switches, another tool's, and the comparison.

A switch is (CPU, prev pid, next pid, prev comm, next comm).
"""

from __future__ import annotations

import os
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pvreplay.errors import PvreplayError
from pvreplay.sources.records import RECORD_WORDS, SWITCH, RawSource

Switch = tuple[int, int, int, bytes, bytes]


def our_switches(source: RawSource) -> list[Switch]:
    """Every switch our decoder finds, in the order it hands them out."""
    words = memoryview(array("Q", bytes(32 * 16384)))
    found: list[Switch] = []
    while count := source.fill(words, 0):
        for at in range(0, count * RECORD_WORDS, RECORD_WORDS):
            w1, w2, w3 = words[at + 1], words[at + 2], words[at + 3]
            if w1 >> 16 & 0xFF == SWITCH:
                comms = source.comms[w3 & 0xFFFFFF], source.comms[w3 >> 24 & 0xFFFFFF]
                found.append((w1 & 0xFFFF, w2 & 0xFFFFFFFF, w2 >> 32, *comms))
    return found


def files(directory: str, *endings: str) -> Iterator[Path]:
    """The recordings below a directory, by the ends of their names."""
    for root, _, names in os.walk(directory):
        for name in sorted(names):
            if name.endswith(endings):
                yield Path(root) / name


def compare(name: str, ours: list[Switch], theirs: list[Switch]) -> bool:
    """Print one line; whether count, counts per CPU and the sequence are equal."""
    equal = ours == theirs
    per_cpu = Counter(switch[0] for switch in ours) == Counter(switch[0] for switch in theirs)
    order = all(
        [s for s in ours if s[0] == cpu] == [s for s in theirs if s[0] == cpu] for cpu in {s[0] for s in ours}
    )
    verdict = "same" if equal else "same on each CPU" if per_cpu and order else "DIFFERENT"
    print(f"{name:40.40}  {len(ours):8} {len(theirs):8}  {verdict}")
    if verdict == "DIFFERENT":
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
            if mine != other:
                print(f"    first difference at {number}: {mine} here, {other} there")
                break
    return verdict != "DIFFERENT"


def check(argv: list[str], endings: tuple[str, ...], one: Callable[[Path], bool]) -> int:
    """Run *one* over every recording below the directory argv[1]; the exit code."""
    if len(argv) != 2 or not os.path.isdir(argv[1]):
        print(f"usage: {argv[0]} DIRECTORY-OF-RECORDINGS", file=sys.stderr)
        return 2
    print(f"{'recording':40}  {'ours':>8} {'theirs':>8}")
    bad = checked = 0
    for path in files(argv[1], *endings):
        checked += 1
        try:
            bad += not one(path)
        except PvreplayError as error:
            print(f"{path.name:40.40}  {error.message}")
            bad += 1
    print(f"{checked} recordings, {bad} different")
    return 1 if bad or not checked else 0
