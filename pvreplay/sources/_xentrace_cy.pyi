"""What ``xentrace.py`` may know of the compiled counter of records."""

from array import array

COMPILED: bool
RECORDS: int
CPUS: int
FIRST_CYCLES: int
LAST_CYCLES: int
LOST: int
OTHER_EVENTS: int
OTHER_CALLS: int
STATE_INTS: int
EVENTS: int
MOST_EVENTS: int
CALLS: int
CPU_CHANGE: int
HYPERCALL: int
HYPERCALL_V2: int
SUBCALL: int

def scan(data: memoryview, end: int, events: array[int], calls: array[int], state: array[int]) -> int: ...
