"""What the text source may know of its compiled scanner (Cython's types mean nothing to mypy)."""

from array import array

COMPILED: bool
ACT_SLOW: int
ACT_SWITCH: int
ACT_TLB: int
ACT_DEACTIVATED: int
ACT_ACTIVATED: int
ACT_CR3: int
ACT_RAW: int
S_RECORDS: int
S_TIME: int
S_INTEGER: int
S_ENTRIES: int
S_RAW: int
RAW_MAX: int
S_CPUS: int
STATE_WORDS: int

def hash_name(name: bytes) -> int: ...
def hash_comm(low: int, high: int) -> int: ...
def scan(
    data: bytearray,
    at: int,
    end: int,
    perf: bool,
    words: memoryview,
    names: array[int],
    comms: array[int],
    groups: array[int],
    state: array[int],
) -> int: ...
