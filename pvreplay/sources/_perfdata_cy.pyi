"""What ``perfdata.py`` may know of its compiled scanner (Cython's types mean nothing to mypy)."""

from array import array

COMPILED: bool
LAYOUT_INTS: int
MORE: int
FULL: int
OTHER: int
BAD: int
REACHED: int
COMMS: int
UNREAD: int
POS: int
STATUS: int
BAD_SAMPLES: int
UNKNOWN_IDS: int
HIGH_CPUS: int
LOST_SAMPLES: int
LOST: int
TWINS: int
MAX_TIME: int
LAST_ROUND: int
LIMIT: int
START: int
STATE_INTS: int
CPU_LIMIT: int

def scan(
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
    room: int,
    steps: int,
    types: array[int],
    state: array[int],
) -> int: ...
def guess(data: memoryview | bytearray, end: int, id_at: int, ids: array[int]) -> int: ...
def id_spot(id: int, mask: int) -> int: ...
def event_of(id: int, ids: array[int], mask: int) -> int: ...
