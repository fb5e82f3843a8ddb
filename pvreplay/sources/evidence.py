"""From which evidence in a recording each piece of task state comes: `pvreplay formats` prints it.

The words are those of ``provenance.py``, which says of one recording what was used.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Evidence(NamedTuple):
    """*seen* gives the *state*; without it, *otherwise* is assumed, and *option* changes that."""

    state: str
    seen: str
    otherwise: str
    option: str = ""


EVIDENCE: Final = (
    Evidence(
        "mm",
        "task_newtask clone_flags, sched_process_fork, sched_process_exec, sched_process_exit; thread "
        "groups (TGID column, perf's COMM, FORK and MMAP); for tasks older than the recording also FPU "
        "saves, xen_mmu_write_cr3 and tlb_flush around their first switch",
        "an older task has its own mm, one with a kernel thread's name none",
        "mm, kthreads, fork",
    ),
    Evidence(
        "fpu", "x86_fpu_regs_deactivated and x86_fpu_regs_activated: xfeatures", "nobody uses it", "fpu"
    ),
    Evidence("tls", "set_thread_area that succeeded; task_newtask with CLONE_SETTLS", "empty slots", "tls"),
    Evidence("ldt", "modify_ldt(1 or 0x11) that succeeded", "no LDT"),
    Evidence("iopl", "iopl that succeeded", "0"),
    Evidence("io_bitmap", "ioperm that succeeded", "none"),
    Evidence("dr", "ptrace(POKEUSER) of DR7", "no breakpoints; those of perf_event_open cannot be told"),
    Evidence("notsc", "prctl(PR_SET_TSC), strict seccomp", "the TSC is readable"),
    Evidence("gs", "set_thread_area that succeeded", "no selector in the user segment", "tls"),
    Evidence("blockstep", "ptrace(PTRACE_SINGLEBLOCK)", "off"),
    Evidence("lazy_tlb", "tlb_flush: remote shootdown", "no flush reaches a CPU in lazy TLB mode"),
    Evidence("lazy_mmu", "our own traces alone: a scheduler trace shows no lazy MMU section", "none"),
)
"""One row for each of ``trace.model.STATE_KEYS``, in that order."""

CALLS: Final = (
    "System calls are read from syscalls:sys_enter_* and sys_exit_*, or from raw_syscalls where something "
    "tells which numbers a task uses (--assume abi=)."
)
