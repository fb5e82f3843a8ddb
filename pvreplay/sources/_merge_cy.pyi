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
def merge_held(
    held: memoryview,
    fresh: memoryview,
    runs: array[int],
    split: int,
    count: int,
    heap: array[int],
    heads: array[int],
    limit: int,
    out: memoryview,
    start: int,
) -> int: ...
def left_over(runs: array[int], first: int, last: int) -> int: ...
def hold(held: memoryview, used: int, fresh: memoryview, runs: array[int], split: int, count: int) -> int: ...
def compact(words: memoryview, runs: array[int], count: int, state: array[int]) -> int: ...
def drop_twins(words: memoryview, first: int, last: int, twin_ns: int, seen: array[int]) -> int: ...
