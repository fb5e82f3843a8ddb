"""What ``perfetto.py`` may know of the compiled reader of Perfetto's protobuf."""

from array import array

COMPILED: bool
ROW_INTS: int
BUNDLE: int
PROCESS_TREE: int
STATS: int
SYSTEM_INFO: int
ZLIB: int
ZSTD: int
P_POS: int
P_ROWS: int
P_STATUS: int
P_FULL: int
P_CUT: int
P_BAD: int
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

def packets(data: memoryview, end: int, rows: array[int], state: array[int]) -> None: ...
def cpu_of(data: memoryview, at: int, stop: int) -> int: ...
def clock_of(data: memoryview, at: int, stop: int) -> int: ...
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
