"""The bytes of trace.bin: constants, block headers and table records (traces/FORMAT.md)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from pvreplay.trace.events import CPU_MAX, MM_MAX, TASK_MAX
from pvreplay.trace.model import Task
from pvreplay.trace.quote import from_bytes, to_bytes

MAGIC: Final = b"\x89PVR\r\n\x1a\n"
"""First bytes of the file: a high bit, CR LF, Ctrl-Z and LF, each broken by some text-mode copy."""
VERSION: Final = 1
FILE_HEADER: Final = Struct("<8sHHI")  # magic, version, 0, 0
FILE_HEADER_BYTES: Final = 16

SYNC: Final = b"PVRB"
BLOCK_HEADER: Final = Struct("<4sBBHIIIQI")
BLOCK_HEADER_BYTES: Final = 32
_HEADER_SUMMED: Final = 28

ALIGN: Final = 16
EVENTS_BLOCK_BYTES: Final = 256 << 10
"""Payload of a full block of events: stays in L2 between the checksum and the replay loop."""
FIRST_EVENTS_BLOCK_BYTES: Final = 4 << 10
"""Payload of a trace's first block of events; the next are twice as large, up to the full size."""
PAYLOAD_MAX: Final = 16 << 20
"""Largest payload a reader has to accept."""

# Block types.
META: Final = 1
NAMES: Final = 2
TASKS: Final = 3
START: Final = 4
EVENTS: Final = 5
END: Final = 6
TYPE_NAMES: Final = ("", "meta", "names", "tasks", "start", "events", "end")

OPTIONAL: Final = 1
"""Block flag: a reader that does not know the type skips the block."""

TASKS_HEAD: Final = Struct("<II")  # first task number, how many
TASK_FIXED: Final = Struct("<iI3IIBBHHH")  # pid mm tls*3 ldt iopl fpu_counter flags comm_bytes 0
START_ENTRY: Final = Struct("<II")  # cpu, task
END_PAYLOAD: Final = Struct("<QQ")  # events, tasks
COMM_MAX: Final = 4096

_FLAG_NAMES: Final = ("dr", "io_bitmap", "notsc", "gs", "blockstep", "fpu", "used_math")
_FLAGS_MAX: Final = (1 << len(_FLAG_NAMES)) - 1


class Header(NamedTuple):
    """A block's header whose own checksum was right."""

    type: int
    flags: int
    number: int
    tasks: int
    """Tasks defined before this block."""
    length: int
    """Bytes of payload, without padding."""
    checksum: int
    """XXH3-64 of the payload."""


def padding(length: int) -> int:
    """Zero bytes after a payload of *length* bytes."""
    return -length % ALIGN


def pack_header(type: int, flags: int, number: int, tasks: int, payload: bytes | memoryview) -> bytes:
    """The 32 bytes before *payload*."""
    checksum = xxh3_64_intdigest(payload)
    head = BLOCK_HEADER.pack(SYNC, type, flags, 0, number, tasks, len(payload), checksum, 0)[:_HEADER_SUMMED]
    return head + (xxh3_64_intdigest(head) & 0xFFFFFFFF).to_bytes(4, "little")


def unpack_header(raw: bytes | memoryview) -> Header | None:
    """The header in these 32 bytes; None when they are not one."""
    sync, type_, flags, zero, number, tasks, length, checksum, own = BLOCK_HEADER.unpack(raw)
    if sync != SYNC or own != xxh3_64_intdigest(raw[:_HEADER_SUMMED]) & 0xFFFFFFFF or zero:
        return None
    return Header(type_, flags, number, tasks, length, checksum)


def task_problem(task: Task) -> str:
    """What is out of range in a task's entry; empty when nothing is."""
    words = (*task.tls, task.ldt)
    if not 0 < task.id < TASK_MAX:
        return f"task number {task.id}, not 1 to {TASK_MAX - 1}"
    if not 0 <= task.mm < MM_MAX:
        return f"task {task.id}: mm {task.mm}, not 0 to {MM_MAX - 1}"
    if not -1 <= task.pid < 1 << 31:
        return f"task {task.id}: pid {task.pid}, not -1 to {(1 << 31) - 1}"
    if len(words) != 4 or not all(0 <= word < 1 << 32 for word in words):
        return f"task {task.id}: tls and ldt must be three and one 32-bit words"
    if not 0 <= task.iopl <= 3:
        return f"task {task.id}: iopl {task.iopl}, not 0 to 3"
    if not 0 <= task.fpu_counter <= 255:
        return f"task {task.id}: fpu_counter {task.fpu_counter}, not 0 to 255"
    if len(task.comm) > COMM_MAX or len(to_bytes(task.comm)) > COMM_MAX:
        return f"task {task.id}: a name of more than {COMM_MAX} bytes"
    return ""


def cpu_problem(cpu: int) -> str:
    """What is wrong with a CPU number; empty when nothing is."""
    return "" if 0 <= cpu < CPU_MAX else f"CPU {cpu}, not 0 to {CPU_MAX - 1}"


def pack_task(task: Task) -> bytes:
    """A task's record; *task* is in range (:func:`task_problem`)."""
    comm = to_bytes(task.comm)
    flags = 0
    for bit, name in enumerate(_FLAG_NAMES):
        flags |= bool(getattr(task, name)) << bit
    fixed = TASK_FIXED.pack(
        task.pid, task.mm, *task.tls, task.ldt, task.iopl, task.fpu_counter, flags, len(comm), 0
    )
    return fixed + comm + bytes(padding(len(comm)))


def unpack_tasks(payload: memoryview, first: int, count: int) -> list[Task]:
    """The tasks in a tasks block.  Raises :class:`ValueError` with what is wrong."""
    tasks = []
    at = TASKS_HEAD.size
    for number in range(first, first + count):
        if at + TASK_FIXED.size > len(payload):
            raise ValueError(f"task {number} of {first + count - 1} is not inside the block")
        pid, mm, tls0, tls1, tls2, ldt, iopl, counter, flags, comm_bytes, zero = TASK_FIXED.unpack_from(
            payload, at
        )
        at += TASK_FIXED.size
        comm = from_bytes(bytes(payload[at : at + comm_bytes]))
        at += comm_bytes + padding(comm_bytes)
        if at > len(payload) or flags > _FLAGS_MAX or zero:
            raise ValueError(f"task {number}: name of {comm_bytes} bytes, flags {flags:#x}")
        task = Task(
            number,
            comm,
            pid,
            mm,
            (tls0, tls1, tls2),
            ldt,
            iopl,
            bool(flags & 1),
            bool(flags & 2),
            bool(flags & 4),
            bool(flags & 8),
            bool(flags & 16),
            bool(flags & 32),
            counter,
            bool(flags & 64),
        )
        problem = task_problem(task)
        if problem:
            raise ValueError(problem)
        tasks.append(task)
    if at != len(payload):
        raise ValueError(f"{len(payload) - at} bytes after the last of {count} tasks")
    return tasks
