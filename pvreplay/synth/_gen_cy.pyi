"""What the rest of synth may know of the compiled generator (Cython's types mean nothing to mypy)."""

from array import array
from collections.abc import Mapping, Sequence

COMPILED: bool

class Generator:
    def __init__(
        self,
        knobs: Mapping[str, int],
        arrays: Mapping[str, array[int]],
        home: Sequence[int],
        first: Sequence[int],
    ) -> None: ...
    def fill(self, out: array[int]) -> int: ...
    def counts(self) -> list[int]: ...
    def births(self) -> list[tuple[int, int]]: ...
