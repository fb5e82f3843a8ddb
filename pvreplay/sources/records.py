"""The raw record: what a decoder of somebody else's recording hands to state recovery.

Every decoder (ftrace text, perf script, perf.data, trace.dat, ring-buffer pages, Perfetto, CTF)
turns what it reads into the same 32-byte records, in file order; ``recover.py`` turns records into
events and tasks.  A decoder knows its format, and nothing about mm, FPU or tasks; recovery knows
those, and nothing about formats.

A record is four unsigned 64-bit words:

    word 0   time, ns (or what the clock counts, see RawSource.clock)
    word 1   bits 0-15 CPU, 16-23 type, 24-31 flags, 32-63 common_pid (who ran when it was written)
    word 2   bits 0-31 a, 32-63 b
    word 3   c

``a``, ``b`` and ``c`` are unsigned; a negative number is stored as its two's complement.  An event
that no type stands for is not stored at all.  CPUs must be below ``CPU_MAX`` (trace/events.py): the
decoder refuses a larger one, with its offset.  Everything else recovery checks itself.

comm numbers index :attr:`RawSource.comms`; 0 is "not known".  They are at most 24 bits.
"""

from __future__ import annotations

from typing import Final, Protocol

RECORD_BYTES: Final = 32
RECORD_WORDS: Final = 4

# --- who runs, who lives ---------------------------------------------------------------------
SWITCH: Final = 1
"""sched_switch.  a prev_pid, b next_pid, c = :func:`switch_c`.  flags: NO_PREV when the format does
not tell prev (Perfetto compact_sched)."""
NEWTASK: Final = 2
"""task_newtask, by its creator common_pid.  a child pid, b clone_flags, c comm."""
FORK: Final = 3
"""sched_process_fork.  a child_pid, b parent pid, c child comm.  No clone flags.  perf's sideband
FORK is this too, with SAME_GROUP when pid = ppid (a thread) and OTHER_GROUP when not."""
EXEC: Final = 4
"""sched_process_exec.  a pid, b old_pid (the thread that called exec), c new comm or 0."""
EXIT: Final = 5
"""sched_process_exit (the kernel fires it after exit_mm).  a pid."""
FREE: Final = 6
"""sched_process_free.  a pid: its life is over for certain."""
RENAME: Final = 7
"""task_rename, perf's COMM.  a pid, c new comm."""
INFO: Final = 8
"""A fact about a task that is not an event: a TGID column, perf's synthesized COMM and MMAP, a
snapshot of /proc.  a pid, b tgid (0 not known), c comm or 0; flags IS_KTHREAD, IS_USER, MM_COMPARED."""
SAME_MM: Final = 9
"""kcmp(KCMP_VM) said so: a and b are pids with one mm."""
LOST: Final = 10
"""a lost events on this CPU (0 = not known how many).  flags ANY_CPU when the CPU is not known."""

# --- what the switch path leaves behind ------------------------------------------------------
TLB_FLUSH: Final = 16
"""tlb_flush.  a reason number, b pages (32 bits; 0xffffffff = all)."""
FPU_DEACTIVATED: Final = 17
"""x86_fpu_regs_deactivated.  a xfeatures (low 32), b load, c fpu pointer or its hash."""
FPU_ACTIVATED: Final = 18
"""x86_fpu_regs_activated.  As FPU_DEACTIVATED."""
XEN_CR3: Final = 19
"""xen_mmu_write_cr3.  a 0 kernel, 1 user; c cr3."""
XEN_SET_LDT: Final = 20
"""xen_cpu_set_ldt.  a entries, c address."""
MM_FLUSHED: Final = 21
"""common_pid flushed TLB entries of its mm on other CPUs.  a not 0 when none of them took notice (Xen
did it: xen_mmu_flush_tlb_multi), 0 when those did that use the mm.  Recovery does not look at it."""

# --- system calls ----------------------------------------------------------------------------
SYS_ENTER: Final = 24
"""syscalls:sys_enter_NAME.  a one of the SYS_* below, b arg 0, c = arg 1 | arg 2 << 32 (low 32 bits
each); flags ARG1_HIGH, ARG2_HIGH, ARG3_SET, ARG3_LOW8."""
SYS_EXIT: Final = 25
"""syscalls:sys_exit_NAME.  a one of the SYS_*, c return value as a 64-bit two's complement (a 32-bit
kernel's positive 4294967277 must be sign-extended by the decoder when the format says long = 4)."""
RAW_ENTER: Final = 26
"""raw_syscalls:sys_enter.  a NR (as recorded: nothing says which ABI it counts in), rest as SYS_ENTER.
Only numbers in :data:`RAW_NUMBERS` are worth a record."""
RAW_EXIT: Final = 27
"""raw_syscalls:sys_exit.  a NR, c return value, as SYS_EXIT."""

# --- evidence of what a Xen guest did (not used by recovery, only to check it) ---------------
MC_BATCH: Final = 40  # a lazy mode (0 none, 1 mmu, 2 cpu)
MC_ISSUE: Final = 41  # a lazy mode
MC_ENTRY: Final = 42  # a op, b number of args, c args[0]
MC_ENTRY_ALLOC: Final = 43  # a argument bytes
MC_EXTEND: Final = 44  # a op, b argument bytes, c result (0 OK, 1 BAD_OP, 2 NO_SPACE)
MC_CALLBACK: Final = 45  # c function, as printed
MC_FLUSH: Final = 46  # a hypercalls, b argument bytes, c callbacks
MC_FLUSH_REASON: Final = 47  # a reason
FUNCTION: Final = 48  # function tracer: a and b low and high half of the address, c the caller's
CALL: Final = 49  # funcgraph_entry: a and b as FUNCTION
RETURN: Final = 50  # funcgraph_exit: a and b as FUNCTION

# --- flags -----------------------------------------------------------------------------------
NO_PREV: Final = 1  # SWITCH
SAME_GROUP: Final = 1  # FORK
OTHER_GROUP: Final = 2  # FORK
IS_KTHREAD: Final = 1  # INFO
IS_USER: Final = 2  # INFO: it has user mappings
MM_COMPARED: Final = 4  # INFO: every process it shares its mm with has a SAME_MM record
ANY_CPU: Final = 1  # LOST
ARG1_HIGH: Final = 1  # SYS_ENTER, RAW_ENTER: argument 1 does not fit 32 bits
ARG2_HIGH: Final = 2
ARG3_SET: Final = 4  # argument 3 is not 0
ARG3_LOW8: Final = 8  # argument 3 & 0xff is not 0 (the enable bits of DR7)

# --- prev_state classes ----------------------------------------------------------------------
STATE_UNKNOWN: Final = 0
STATE_RUNNABLE: Final = 1  # R, 0
STATE_PREEMPTED: Final = 2  # R+
STATE_BLOCKED: Final = 3  # S D T t I P ... and numbers
STATE_DEAD: Final = 4  # Z, X, 16, 32: the task never runs again
STATE_PARKED_OR_DEAD: Final = 5
"""x, 64: TASK_DEAD up to Linux 4.13, a parked kernel thread from 4.14 on (which will run again)."""

# --- canonical system calls ------------------------------------------------------------------
SYS_IOPL: Final = 1
SYS_IOPERM: Final = 2
SYS_MODIFY_LDT: Final = 3
SYS_SET_THREAD_AREA: Final = 4
SYS_ARCH_PRCTL: Final = 5
SYS_PRCTL: Final = 6
SYS_PTRACE: Final = 7
SYS_SECCOMP: Final = 8
SYS_PERF_EVENT_OPEN: Final = 9

SYSCALL_NAMES: Final = {
    b"iopl": SYS_IOPL,
    b"ioperm": SYS_IOPERM,
    b"modify_ldt": SYS_MODIFY_LDT,
    b"set_thread_area": SYS_SET_THREAD_AREA,
    b"arch_prctl": SYS_ARCH_PRCTL,
    b"prctl": SYS_PRCTL,
    b"ptrace": SYS_PTRACE,
    b"seccomp": SYS_SECCOMP,
    b"perf_event_open": SYS_PERF_EVENT_OPEN,
}
"""``X`` of syscalls:sys_enter_X -> canonical number.  Other system calls get no record."""

NR_X86_64: Final = {
    172: SYS_IOPL,
    173: SYS_IOPERM,
    154: SYS_MODIFY_LDT,
    205: SYS_SET_THREAD_AREA,
    158: SYS_ARCH_PRCTL,
    157: SYS_PRCTL,
    101: SYS_PTRACE,
    317: SYS_SECCOMP,
    298: SYS_PERF_EVENT_OPEN,
}
"""Linux, arch/x86/entry/syscalls/syscall_64.tbl."""
NR_I386: Final = {
    110: SYS_IOPL,
    101: SYS_IOPERM,
    123: SYS_MODIFY_LDT,
    243: SYS_SET_THREAD_AREA,
    384: SYS_ARCH_PRCTL,
    172: SYS_PRCTL,
    26: SYS_PTRACE,
    354: SYS_SECCOMP,
    336: SYS_PERF_EVENT_OPEN,
}
"""Linux, arch/x86/entry/syscalls/syscall_32.tbl.  172 is prctl here and iopl there."""
RAW_NUMBERS: Final = frozenset(NR_X86_64) | frozenset(NR_I386)

CLONE_VM: Final = 0x100
CLONE_VFORK: Final = 0x4000
CLONE_THREAD: Final = 0x10000
CLONE_SETTLS: Final = 0x80000


class RawSource(Protocol):
    """A decoder: pulled for records, front to back, once.

    ``fill`` writes records into *words* (writable, format ``Q``) from record *start* on, and
    returns the number of records now in it; returning *start* means the end.  It never fails on
    bad content in the middle: it counts a doubt, or sets ``damage`` and ends.  Only a recording
    that can give nothing at all raises TraceError, at construction.
    """

    path: str
    format: str
    """One or two words, as `pvreplay formats` lists it: "ftrace text", "perf script text"."""
    origin: str
    clock: str
    """"" when the recording does not name it."""
    word_bits: int
    """64 or 32 for the recorded kernel's long; 0 when the recording does not tell."""
    enabled: frozenset[str] | None
    """Tracepoints the recording had switched on ("tlb:tlb_flush"), None when it does not tell."""
    comms: list[bytes]
    """Interned names, [0] = b"" for "not known"; grows while reading."""
    doubts: dict[str, int]
    damage: str
    offset: int
    """Where reading stands: byte or line of what the next ``fill`` starts with."""

    def fill(self, words: memoryview, start: int) -> int: ...


def record(
    time_ns: int, cpu: int, type: int, pid: int, a: int = 0, b: int = 0, c: int = 0, flags: int = 0
) -> tuple[int, int, int, int]:
    """The four words of one record, for tests and slow paths; arguments are cut to their widths."""
    return (
        time_ns & 0xFFFFFFFFFFFFFFFF,
        (cpu & 0xFFFF) | (type & 0xFF) << 16 | (flags & 0xFF) << 24 | (pid & 0xFFFFFFFF) << 32,
        (a & 0xFFFFFFFF) | (b & 0xFFFFFFFF) << 32,
        c & 0xFFFFFFFFFFFFFFFF,
    )


def switch_c(prev_comm: int = 0, next_comm: int = 0, state: int = STATE_UNKNOWN) -> int:
    """Word 3 of a SWITCH: bits 0-23 prev comm, 24-47 next comm, 48-55 prev_state class."""
    return (prev_comm & 0xFFFFFF) | (next_comm & 0xFFFFFF) << 24 | (state & 0xFF) << 48


def syscall_c(arg1: int = 0, arg2: int = 0, arg3: int = 0) -> tuple[int, int]:
    """(word 3, flags) of a SYS_ENTER or RAW_ENTER from its arguments 1 to 3."""
    flags = 0
    if arg1 >> 32:
        flags |= ARG1_HIGH
    if arg2 >> 32:
        flags |= ARG2_HIGH
    if arg3:
        flags |= ARG3_SET
    if arg3 & 0xFF:
        flags |= ARG3_LOW8
    return (arg1 & 0xFFFFFFFF) | (arg2 & 0xFFFFFFFF) << 32, flags
