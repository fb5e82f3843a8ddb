"""Raw system call numbers of 32-bit programs on a 64-bit kernel, told by their arguments.

raw_syscalls:sys_enter does not say which table its number counts in.  Some calls give themselves
away: i386's prctl (172) has an option that is no I/O privilege level, its modify_ldt (123) a size of 16,
and so on.  Only what cannot be an ordinary call of the 64-bit table is taken for an i386 one.
"""

from __future__ import annotations

from typing import Final

from pvreplay.sources import records as r

_PAGE: Final = 4096
_DESCRIPTOR_BYTES: Final = 16
_LOWEST_POINTER: Final = 1 << 16
_PORTS: Final = 1 << 16


def i386_call(number: int, arg0: int, arg1: int, arg2: int) -> int:
    """The SYS_* that raw call *number* is when its arguments (32 bits of each) fit nothing but i386.

    0 when it may as well be the 64-bit call of that number.  The x86-64 names of the numbers, from
    arch/x86/entry/syscalls/syscall_64.tbl: 26 msync, 101 ptrace, 110 getppid, 123 setfsgid, 172 iopl,
    243 mq_timedreceive; 336, 354 and 384 are none.
    """
    if number == 172 and arg0 > 3:
        return r.SYS_PRCTL
    if number == 123 and arg0 in (0, 1, 2, 0x11) and arg1 >= _LOWEST_POINTER and arg2 == _DESCRIPTOR_BYTES:
        return r.SYS_MODIFY_LDT
    if number == 101 and arg2 == 1 and 0 < arg1 <= _PORTS and arg0 < _PORTS:
        return r.SYS_IOPERM
    if number == 243 and arg0 >= _LOWEST_POINTER:
        return r.SYS_SET_THREAD_AREA
    if number == 26 and (arg0 % _PAGE or not arg0) and arg0 < _LOWEST_POINTER:
        return r.SYS_PTRACE
    return {336: r.SYS_PERF_EVENT_OPEN, 354: r.SYS_SECCOMP, 384: r.SYS_ARCH_PRCTL}.get(number, 0)
