"""What the binary sources may know of the compiled payload decoder."""

from array import array

COMPILED: bool
PROGRAM_INTS: int

def decode(
    data: memoryview,
    words: memoryview | array[int],
    first: int,
    last: int,
    tag: int,
    programs: array[int],
    numbers: bytes,
    keys: array[int],
    table: array[int],
    state: array[int],
    memo: array[int],
) -> int: ...
def comm_of(
    data: memoryview,
    at: int,
    size: int,
    keys: array[int],
    table: array[int],
    state: array[int],
    memo: array[int],
    owner: int,
) -> int: ...
def rehash(keys: array[int], count: int, table: array[int]) -> None: ...
def enter(keys: array[int], first: int, count: int, table: array[int]) -> None: ...
def forget(keys: array[int], first: int, count: int, table: array[int]) -> None: ...
def number_of(low: int, high: int, keys: array[int], table: array[int], state: array[int]) -> int: ...
def renumber(
    words: memoryview | array[int], first: int, last: int, known: int, numbers: array[int]
) -> None: ...
