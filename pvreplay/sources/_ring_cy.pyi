"""What the binary sources may know of the compiled page walker."""

from array import array

COMPILED: bool
PAGE: int
EVENT: int
END: int
TIME: int
BAD_PAGES: int
PAGES: int
MISSED: int
STATE_INTS: int

def scan(
    data: memoryview,
    end: int,
    layout: array[int],
    slots: bytearray,
    cpu: int,
    lost_slot: int,
    words: memoryview,
    first: int,
    room: int,
    state: array[int],
) -> int: ...
def scale_times(words: memoryview, first: int, last: int, offset: int, factor: int, shift: int) -> None: ...
