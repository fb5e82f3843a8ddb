"""The event vocabulary of a trace: kinds, their arguments and their 16-byte form.

An event is two little-endian 64-bit words:

    word 0   time in ns
    word 1   bits 0-31 argument, 32-47 CPU, 48-55 kind, 56-63 flags

The numbers are part of the file format (traces/FORMAT.md) and never change
meaning; a new kind takes a new number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

EVENT_BYTES: Final = 16
CPU_MAX: Final = 8192
"""CPUs are 0 .. CPU_MAX-1; the largest CONFIG_NR_CPUS of x86 Linux is 8192."""
TASK_MAX: Final = 1 << 24
"""Task numbers are 1 .. TASK_MAX-1; 0 in an event is the CPU's own idle task."""
MM_MAX: Final = 1 << 24
"""mm numbers are 1 .. MM_MAX-1; 0 is "no mm" (a kernel thread)."""


class Kind(IntEnum):
    """What happened.  The comment gives the argument (and flags, if used)."""

    SWITCH = 1  # task switched to
    ON = 2  # task found running without a switch to it (trace start, or after a loss)
    FPU = 3  # the current task executes an FPU instruction
    EXEC = 4  # mm: the current task gets this new mm
    FORK = 5  # task born of the current task; its mm is in its task entry
    EXIT = 6  # the current task gives up its mm (exit_mm)
    TLS = 7  # descriptor word; flags = slot 0..2
    LDT = 8  # identity of the LDT of the task's mm, 0 = none
    IOPL = 9  # 0..3
    IO_BITMAP = 10  # 0/1 TIF_IO_BITMAP
    DR = 11  # 0/1 TIF_DEBUG
    NOTSC = 12  # 0/1 TIF_NOTSC / TIF_SECCOMP
    GS = 13  # 0/1 the user segment register (gs; fs in the seed) holds a selector
    FLUSH_IPI = 14  # a TLB flush IPI reaches this CPU
    ENTER_MMU = 15  # arch_enter_lazy_mmu_mode
    LEAVE_MMU = 16  # arch_leave_lazy_mmu_mode
    SET_PTE = 17  # number of PTE writes
    READ_PTE = 18  # a PTE is read back
    IRQ_ENTER = 19
    IRQ_EXIT = 20
    NMI_ENTER = 21
    NMI_EXIT = 22
    FAULT_ENTER = 23
    FAULT_EXIT = 24
    SLEEP = 25  # the current task calls something that may block
    USER = 26  # return to user mode
    FLUSH = 27  # an explicit flush of the batch
    LOST = 28  # number of lost events, 0 = unknown
    BEGIN = 29  # op-level: a switch window opens; task switched to
    OP = 30  # op-level: index into the op table, operand << 16
    END = 31  # op-level: the switch window closes
    FOR = 32  # the next state event on this CPU is about this task, not the current one
    BLOCKSTEP = 33  # 0/1 TIF_BLOCKSTEP
    KERNEL_FPU = 34  # kernel_fpu_begin .. kernel_fpu_end


NKINDS: Final = 35

#: Kinds that :attr:`Kind.FOR` may redirect to another task.
TARGETED: Final = frozenset(
    {Kind.TLS, Kind.LDT, Kind.IOPL, Kind.IO_BITMAP, Kind.DR, Kind.NOTSC, Kind.GS, Kind.BLOCKSTEP}
)


def pack(time_ns: int, cpu: int, kind: int, arg: int = 0, flags: int = 0) -> tuple[int, int]:
    """The two words of one event."""
    return time_ns, arg | cpu << 32 | kind << 48 | flags << 56


def unpack(word0: int, word1: int) -> tuple[int, int, int, int, int]:
    """(time_ns, cpu, kind, arg, flags) of the two words of one event."""
    return word0, word1 >> 32 & 0xFFFF, word1 >> 48 & 0xFF, word1 & 0xFFFFFFFF, word1 >> 56
