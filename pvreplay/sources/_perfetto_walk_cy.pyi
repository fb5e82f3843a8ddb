"""What ``perfetto_packets.py`` may know of the compiled walk over packets."""

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

def packets(data: memoryview, end: int, rows: array[int], state: array[int]) -> None: ...
def number_of(data: memoryview, at: int, stop: int, field: int) -> int: ...
