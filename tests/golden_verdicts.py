"""Golden files: written by ``make goldens`` (PVREPLAY_GOLDENS=write), read in the diff, never edited."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(__file__).with_name("data")


def same_as_golden(name: str, text: str) -> None:
    """Assert that tests/data/NAME holds *text*, or write it."""
    path = DATA / name
    if os.environ.get("PVREPLAY_GOLDENS") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    assert path.exists(), f"{path} is missing: make goldens"
    assert text == path.read_text(), f"{path} differs; if that is meant to be: make goldens"
