"""What ``perfetto.py`` may know of the compiled reader of Perfetto's bundles."""

from array import array

COMPILED: bool
CPU: int
AT: int
END: int
COLUMNS: int
PENDING: int
BAD: int
LOST: int
LOST_COUNT: int
GENERICS: int
STATE_INTS: int

def open_bundle(
    data: memoryview,
    start: int,
    stop: int,
    names: array[int],
    keys: array[int],
    table: array[int],
    comms: array[int],
    state: array[int],
) -> int: ...
def scan(
    data: memoryview,
    names: array[int],
    raw_numbers: bytes,
    keys: array[int],
    table: array[int],
    comms: array[int],
    words: memoryview,
    first: int,
    room: int,
    state: array[int],
) -> int: ...
def varint(data: memoryview, at: int, stop: int) -> int: ...
def after(data: memoryview, at: int, stop: int) -> int: ...
def skip(data: memoryview, at: int, stop: int, wire: int) -> int: ...
