"""What the rest of synth may know of the compiled generator (Cython's types mean nothing to mypy)."""

from array import array
from collections.abc import Mapping

COMPILED: bool

class RandomEvents:
    def __init__(
        self, knobs: Mapping[str, int], current: array[int], where: array[int], open_: array[int]
    ) -> None: ...
    def fill(self, out: array[int]) -> int: ...
    def counts(self) -> list[int]: ...
    def births(self) -> list[tuple[int, int]]: ...
