"""Task state that system calls set: TLS slots, LDT, IOPL, I/O bitmap, debug registers, TSC flag.

A call counts only once its exit said that it succeeded.  Where the recording holds no exits at
all, it counts when the task is switched out, and is told as a doubt.
"""

from __future__ import annotations

from typing import Final

from pvreplay.sources import _recover_cy as loop
from pvreplay.sources import records as r
from pvreplay.sources.tables import Tables
from pvreplay.trace.events import Kind

#: include/uapi/linux/prctl.h, include/uapi/linux/seccomp.h, include/uapi/linux/ptrace.h
PR_SET_SECCOMP: Final = 22
PR_SET_TSC: Final = 26
PR_TSC_ENABLE: Final = 1
PR_TSC_SIGSEGV: Final = 2
SECCOMP_MODE_STRICT: Final = 1
SECCOMP_SET_MODE_STRICT: Final = 0
PTRACE_POKEUSR: Final = 6
PTRACE_SINGLEBLOCK: Final = 33
#: PTRACE_CONT, KILL, SINGLESTEP, DETACH, SYSCALL: each ends a block step
PTRACE_RESUMES: Final = frozenset({7, 8, 9, 17, 24})
#: offsetof(struct user, u_debugreg[7]): arch/x86/include/asm/user_64.h and user_32.h
DR7_OFFSETS: Final = frozenset({904, 280})

_NAMES: Final = {number: name.decode() for name, number in r.SYSCALL_NAMES.items()}


Call = tuple[int, int, int, int]
"""(SYS_*, argument 0, arguments 1 and 2, flags) as in a SYS_ENTER record."""


class Calls:
    """System calls under way, and what they leave behind."""

    def __init__(self, tables: Tables, abi: str, word_bits: int, enabled: frozenset[str] | None) -> None:
        self._tables = tables
        self._abi = "i386" if word_bits == 32 else abi
        self._enabled = enabled
        self._pending: dict[int, Call] = {}
        self._exits = False
        self._tls_words = 0
        self._stepped: set[int] = set()
        self.slots: dict[int, int] = {}
        """task -> mask of the TLS slots it has set."""
        self.ldts: set[int] = set()
        """mms that have an LDT."""
        self.seen: dict[str, int] = {}
        """system call -> how often it succeeded."""
        self.doubts: dict[str, int] = {}

    def canonical(self, nr: int, words: memoryview, i: int, n: int, pid: int) -> int:
        """What raw system call *nr* in record *i* is; 0 when it is nothing here, or nobody can tell."""
        call64, call32 = r.NR_X86_64.get(nr, 0), r.NR_I386.get(nr, 0)
        if self._abi == "i386":
            return call32
        follows = _next_sys_enter(words, i, n, pid)
        if follows:
            if follows == call32 != call64:
                self._abi = "i386"  # a 64-bit kernel has no such event for a 32-bit number
            return 0  # the syscalls:* event of the same call names it
        if self._abi == "x86_64":
            return call64
        if call64 and self._told(call64):
            return call32  # only the 64-bit entry has such an event, and it did not come
        self.doubts["raw_syscalls_undecided"] = self.doubts.get("raw_syscalls_undecided", 0) + 1
        return 0

    def enter(self, task: int, call: int, arg0: int, rest: int, flags: int) -> None:
        """A task enters a system call."""
        if task and call in _NAMES:
            self._pending[task] = (call, arg0, rest, flags)
            self._tables.set(task, loop.T_PENDING)

    def leave(self, task: int, result: int) -> Call | None:
        """The call of *task* that ends with *result* (64-bit), if there is one and it succeeded."""
        self._exits = True
        call = self._pending.pop(task, None)
        self._tables.set(task, loop.T_PENDING, on=task in self._stepped)
        return None if failed(result) else call

    def switched_out(self, task: int, words: memoryview, i: int, n: int) -> Call | None:
        """The call of a task that is switched out in it, if no exit of it can be expected."""
        self._exits = self._exits or _exit_follows(words, i, n, self._tables.pid(task))
        if self._exits or task not in self._pending:
            return None
        self._tables.set(task, loop.T_PENDING, on=False)
        self.doubts["exit_unseen"] = self.doubts.get("exit_unseen", 0) + 1
        return self._pending.pop(task, None)

    def expect_exits(self) -> None:
        """The recording is known to hold exits."""
        self._exits = True

    def next_word(self) -> int:
        """A descriptor word no slot had before."""
        self._tls_words += 1
        return self._tls_words

    def apply(self, time_ns: int, cpu: int, task: int, call: Call, target: int) -> None:
        """Write the events of a call that succeeded; *target* is a ptrace call's other task."""
        number, arg0, rest, flags = call
        arg1, arg2 = rest & 0xFFFFFFFF, rest >> 32
        name = _NAMES[number]
        emit = self._tables.emit
        if number == r.SYS_IOPL and arg0 <= 3:
            emit(time_ns, cpu, Kind.IOPL, arg0)
        elif number == r.SYS_IOPERM and arg1 and arg2:
            # a bitmap once allocated stays until the task exits: 2.6.21 arch/i386/kernel/ioport.c
            emit(time_ns, cpu, Kind.IO_BITMAP, 1)
        elif number == r.SYS_MODIFY_LDT and arg0 in (1, 0x11):
            self.ldts.add(self._tables.mm(task))
            emit(time_ns, cpu, Kind.LDT, self._tables.mm(task))
        elif number == r.SYS_SET_THREAD_AREA:
            self.set_slot(time_ns, cpu, task)
        elif number == r.SYS_PRCTL and arg0 == PR_SET_TSC and arg1 in (PR_TSC_ENABLE, PR_TSC_SIGSEGV):
            emit(time_ns, cpu, Kind.NOTSC, int(arg1 == PR_TSC_SIGSEGV))
        elif (number == r.SYS_PRCTL and arg0 == PR_SET_SECCOMP and arg1 == SECCOMP_MODE_STRICT) or (
            number == r.SYS_SECCOMP and arg0 == SECCOMP_SET_MODE_STRICT
        ):
            emit(time_ns, cpu, Kind.NOTSC, 1)  # seccomp_set_mode_strict disables the TSC
        elif number == r.SYS_PTRACE and target:
            name = self._ptrace(time_ns, cpu, arg0, arg2, flags, target)
        else:
            return
        if name:
            self.seen[name] = self.seen.get(name, 0) + 1

    def set_slot(self, time_ns: int, cpu: int, task: int) -> None:
        """set_thread_area by the current task: the contents are unknown, so a new word; the lowest
        free slot, as entry_number -1 asks for; and libc loads the selector into the segment register.
        """
        mask = self.slots.get(task, 0)
        slot = next((s for s in range(3) if not mask >> s & 1), 2)
        self.slots[task] = mask | 1 << slot
        self._tables.emit(time_ns, cpu, Kind.TLS, self.next_word(), slot)
        self._tables.emit(time_ns, cpu, Kind.GS, 1)

    def copy_ldt(self, time_ns: int, cpu: int, parent: int, child: int) -> None:
        """fork() copies the LDT of the current task *parent* into the child's own mm."""
        mm = self._tables.mm(child)
        if self._tables.mm(parent) in self.ldts and mm not in self.ldts:
            self.ldts.add(mm)
            self._tables.emit(time_ns, cpu, Kind.FOR, child)
            self._tables.emit(time_ns, cpu, Kind.LDT, mm)

    def step_over(self, time_ns: int, cpu: int, task: int) -> None:
        """The current *task* is switched out: the debug exception that ended its block step cleared it."""
        if task in self._stepped:
            self._stepped.remove(task)
            self._tables.set(task, loop.T_PENDING, on=task in self._pending)
            self._tables.emit(time_ns, cpu, Kind.BLOCKSTEP, 0)

    def _ptrace(self, time_ns: int, cpu: int, request: int, address: int, flags: int, target: int) -> str:
        """A request that changes the target; what it is called in ``seen``, "" for other requests."""
        if request == PTRACE_POKEUSR and address in DR7_OFFSETS:
            name, kind, value = "ptrace DR7", Kind.DR, int(bool(flags & r.ARG3_LOW8))
        elif request == PTRACE_SINGLEBLOCK and target not in self._stepped:
            self._stepped.add(target)
            self._tables.set(target, loop.T_PENDING)  # its next switch out is looked at
            name, kind, value = "ptrace block step", Kind.BLOCKSTEP, 1
        elif request in PTRACE_RESUMES and target in self._stepped:
            self._stepped.remove(target)
            name, kind, value = "ptrace block step", Kind.BLOCKSTEP, 0
        else:
            return ""
        self._tables.emit(time_ns, cpu, Kind.FOR, target)
        self._tables.emit(time_ns, cpu, kind, value)
        return name

    def _told(self, call: int) -> bool:
        """Whether syscalls:sys_enter_NAME was switched on."""
        return self._enabled is not None and f"syscalls:sys_enter_{_NAMES[call]}" in self._enabled


def failed(result: int) -> bool:
    """Whether a return value is an error; a 32-bit kernel prints some of them as positive numbers."""
    return result >= 0xFFFFFFFFFFFFF001 or 0xFFFFF001 <= result <= 0xFFFFFFFF


def _next_sys_enter(words: memoryview, i: int, n: int, pid: int) -> int:
    """The SYS_* of the next record of *pid* after *i* when it is a SYS_ENTER, else 0."""
    for j in range(i + 1, min(n, i + 64)):
        head = words[4 * j + 1]
        if head >> 32 == pid:
            return words[4 * j + 2] & 0xFFFFFFFF if head >> 16 & 0xFF == r.SYS_ENTER else 0
    return 0


def _exit_follows(words: memoryview, i: int, n: int, pid: int) -> bool:
    """Whether a system call exit of *pid* is among the records after *i*."""
    for j in range(i + 1, n):
        head = words[4 * j + 1]
        if head >> 32 == pid and head >> 16 & 0xFF in (r.SYS_EXIT, r.RAW_EXIT):
            return True
    return False
