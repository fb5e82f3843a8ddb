"""The tasks that are alive when a recording starts, from /proc, as records.

A trace tells who is born and who shares an mm from then on.  For tasks that are
older, /proc knows their threads (Tgid), which are the kernel's, and their
names; kcmp() finds processes that share an mm all the same.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cmp_to_key
from typing import Final, NamedTuple

from pvreplay.sources import records as rec

PF_KTHREAD: Final = 0x00200000
"""include/linux/sched.h; in /proc/PID/stat since 2.6.27's flags field."""
KCMP_NUMBERS: Final = {"x86_64": 312, "i386": 349, "i486": 349, "i586": 349, "i686": 349}
"""kcmp: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl."""
KCMP_VM: Final = 1
"""include/uapi/linux/kcmp.h."""
LOWER, HIGHER, UNORDERED = 1, 2, 3

Record = tuple[int, int, int, int]
Kcmp = Callable[[int, int], int]
"""(pid, pid) -> 0: they share an mm; 1, 2: its mm is lower or higher; 3 or less than 0: nobody can tell."""


class TaskThen(NamedTuple):
    """A task of /proc: *kthread* None when that could not be read; *user* means it has an mm."""

    tid: int
    tgid: int
    comm: bytes
    kthread: bool | None
    user: bool


def tasks(proc: str = "/proc", known: frozenset[int] | set[int] = frozenset()) -> Iterator[TaskThen]:
    """Every task but those *known*; one that vanishes meanwhile is left out."""
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        tgid = int(name)
        folder = os.path.join(proc, name)
        try:
            tids = [int(tid) for tid in os.listdir(os.path.join(folder, "task")) if tid.isdigit()]
        except OSError:
            continue
        fresh = [tid for tid in tids if tid not in known]
        if not fresh:
            continue
        kthread, user = _kind(os.path.join(folder, "stat"))
        for tid in fresh:
            try:
                with open(os.path.join(folder, "task", str(tid), "comm"), "rb") as file:
                    comm = file.read(64).rstrip(b"\n")[:15]
            except OSError:
                continue
            yield TaskThen(tid, tgid, comm, kthread, user)


def _kind(path: str) -> tuple[bool | None, bool]:
    """(is a kernel thread, has an mm) by the flags and the size in a ``stat`` file."""
    try:
        with open(path, "rb") as file:
            text = file.read(4096)
    except OSError:
        return None, False
    # The name may hold anything, even ")": fields are counted from the last one.
    fields = text[text.rfind(b")") + 1 :].split()
    if len(fields) < 21 or not fields[6].isdigit() or not fields[20].isdigit():
        return None, False
    kthread = bool(int(fields[6]) & PF_KTHREAD)
    return kthread, not kthread and int(fields[20]) > 0


def system_kcmp() -> Kcmp | None:
    """kcmp() of this machine; None where it cannot be called."""
    number = KCMP_NUMBERS.get(platform.machine())
    if number is None or not hasattr(os, "getpid"):
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long] * 6

    def kcmp(first: int, second: int) -> int:
        return int(syscall(number, first, second, KCMP_VM, 0, 0))

    return kcmp if kcmp(os.getpid(), os.getpid()) == 0 else None


def same_mm(leaders: Iterable[int], kcmp: Kcmp) -> Iterator[tuple[int, int]]:
    """(pid, pid) for processes that share an mm, the first one's pid with each of the others.

    The kernel orders mms, so sorting needs n log n comparisons instead of n squared.
    """

    def order(first: int, second: int) -> int:
        found = kcmp(first, second)
        if found in (LOWER, HIGHER):
            return -1 if found == LOWER else 1
        return 0 if found == 0 else first - second

    ranked = sorted((pid for pid in leaders if kcmp(pid, pid) == 0), key=cmp_to_key(order))
    first = 0
    for pid in ranked:
        if first and kcmp(first, pid) == 0:
            yield first, pid
        else:
            first = pid


def records_of(
    found: Iterable[TaskThen], numbers: Mapping[bytes, int], pairs: Iterable[tuple[int, int]] | None
) -> Iterator[Record]:
    """An INFO record for each task and a SAME_MM record for each pair; *numbers* are those of the names.

    *pairs* None: nobody compared the tasks' mms.
    """
    for task in found:
        flags = rec.IS_KTHREAD if task.kthread else rec.IS_USER if task.user else 0
        if pairs is not None and task.user:
            flags |= rec.MM_COMPARED
        yield rec.record(0, 0, rec.INFO, task.tid, task.tid, task.tgid, numbers.get(task.comm, 0), flags)
    for first, second in pairs or ():
        yield rec.record(0, 0, rec.SAME_MM, first, first, second)
