"""What ``perfetto.py`` may know of the compiled reader of generic events."""

from array import array

COMPILED: bool
GENERIC: int

def hash_name(name: bytes) -> int: ...
def resolve(data: memoryview, words: memoryview, first: int, found: int, out: array[int]) -> int: ...
