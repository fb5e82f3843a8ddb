"""Commands that a page shows, and whether what they print is what the page shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ELISION = "..."


class Example(NamedTuple):
    """One ``$`` line of a console block."""

    command: str
    shown: list[str]


def examples(page: Path) -> list[Example]:
    """Every command of the page's console blocks, in order."""
    found: list[Example] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Example(line[2:], []))
            else:
                found[-1].shown.append(line)
    return found


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether *printed* is what is *shown*; a line ``...`` stands for any lines."""
    if not shown:
        return not printed
    if shown[0].strip() == ELISION:
        return any(matches(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and shown[0].rstrip() == printed[0] and matches(shown[1:], printed[1:])
