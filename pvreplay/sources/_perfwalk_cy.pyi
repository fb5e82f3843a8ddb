"""What ``perfdata.py`` may know of the compiled walk over records."""

from array import array

COMPILED: bool
BATCH: int

def walk(
    data: memoryview,
    end: int,
    until: int,
    layouts: array[int],
    id_at: int,
    tail_id: int,
    ids: array[int],
    slots: bytearray,
    sideband: bytearray,
    twins: array[int],
    words: memoryview | array[int],
    first: int,
    types: array[int],
    state: array[int],
    programs: array[int],
    numbers: bytes,
    keys: array[int],
    table: array[int],
    comms: array[int],
    memo: array[int],
) -> int: ...
def part(
    file: int,
    start: int,
    end: int,
    until: int,
    buffer: bytearray,
    layouts: array[int],
    id_at: int,
    tail_id: int,
    ids: array[int],
    slots: bytearray,
    sideband: bytearray,
    twins: array[int],
    words: memoryview | array[int],
    first: int,
    types: array[int],
    state: array[int],
    programs: array[int],
    numbers: bytes,
    keys: array[int],
    table: array[int],
    comms: array[int],
    memo: array[int],
) -> int: ...
def combine(state: array[int], types: array[int], after: array[int], more: array[int]) -> None: ...
