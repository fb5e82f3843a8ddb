"""What recovery may know of its compiled loop (Cython's types mean nothing to mypy)."""

from array import array

COMPILED: bool
C_EVENTS: int
C_FPU_SEEN: int
C_FPU_EVENTS: int
C_SLOT_SHIFT: int
C_COUNTS: int
CTL_WORDS: int
T_FPU: int
T_PENDING: int
T_ENDED: int
T_NEWBORN: int
T_EXEC_DUE: int
T_VFORK: int
T_EXITED: int
T_BORROWS: int
NOBODY: int
S_LOOKED: int
S_FPU_SAVED: int
S_FLUSHED: int
S_CR3: int
S_KTHREAD: int
S_USER: int
S_DIES: int
S_EXITS: int
S_SAVES_TOLD: int
S_FLUSHES_TOLD: int

def find(slots: array[int], shift: int, pid: int) -> int: ...
def put(slots: array[int], shift: int, pid: int, task: int) -> int: ...
def run(
    words: memoryview,
    i: int,
    limit: int,
    events: array[int],
    ctl: array[int],
    cpus: array[int],
    tasks: array[int],
    slots: array[int],
    cr3s: array[int],
) -> int: ...
def scan(words: memoryview, i: int, n: int, pid: int, out: array[int]) -> int: ...
def loads_ahead(words: memoryview, i: int, n: int, pid: int) -> bool: ...
def seek(words: memoryview, i: int, n: int, type: int, a: int) -> int: ...
