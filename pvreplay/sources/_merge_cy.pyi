"""What the binary sources may know of the compiled merge."""

from array import array

COMPILED: bool
TWIN_NS: int

def find_runs(
    words: memoryview, first: int, last: int, runs: array[int], count: int, state: array[int]
) -> int: ...
def merge(
    words: memoryview,
    runs: array[int],
    count: int,
    heap: array[int],
    limit: int,
    stop: bool,
    out: memoryview,
    start: int,
    state: array[int],
) -> int: ...
def compact(words: memoryview, runs: array[int], count: int, state: array[int]) -> int: ...
def drop_twins(words: memoryview, first: int, last: int, twin_ns: int, seen: array[int]) -> int: ...
