"""What a recording without its evidence cannot tell about a switch.

Every switch gets its *gaps*: facts the prediction had to take a value for, the
other value they may have, and why.  A gap is *open* when nothing speaks for
the value taken (the mms of two tasks older than the recording); otherwise it
has a default that stands until the evidence contradicts it in just that fact
(a CPU in lazy TLB mode whose mm was flushed by another CPU meanwhile).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pvreplay.sources import records as r
from pvreplay.sources.births import KTHREADD, named_like_kthread
from pvreplay.validate.state import Told

REASONS: Final[dict[str, str]] = {
    "old_mm": "both tasks may be older than the recording: nothing tells whether they share an mm",
    "first_on_cpu": "the first switch to a user task on this CPU: the mm that is loaded there is not known",
    "after_loss": "events of this CPU were lost before it: the mm that is loaded is not known",
    "lazy_tlb": "the CPU kept the mm lazily: it is loaded again when another CPU flushed it, or a flush or a "
    "text patch made the CPU leave it, meanwhile",
    "exec_elsewhere": "the task ran on another CPU meanwhile, and the recording tells no exec",
    "unnamed_kthread": "nothing tells that the task is a user task: its name is no kernel thread's",
    "io_bitmap": "nothing tells the I/O bitmap and IOPL of the task",
    "io_at_exit": "at its exit a task gives up its I/O bitmap and keeps IOPL; which one it has is not told",
    "notsc": "nothing tells prctl(PR_SET_TSC) of the task",
    "blockstep": "nothing tells TIF_BLOCKSTEP of the task: ptrace sets it, a debug exception clears it",
    "tls": "nothing tells the TLS slots of the task",
    "ldt": "nothing tells the LDT of the mm",
    "gs": "nothing tells whether %gs holds a selector: user mode loads it without a system call",
    "fpu_live": "nothing tells whether the task returned to user mode since it was switched to: its FPU "
    "registers are restored there, and are saved only when they were",
    "cut": "the recording begins or ends in the middle of the switch, or events are missing in it",
}


class Gap(NamedTuple):
    """Facts that may have other values, and why (a key of REASONS)."""

    reason: str
    facts: Mapping[str, int]
    open: bool = False
    task: int = 0
    """The pid whose state it is, when that stays until a system call changes it."""
    pair: tuple[int, int] | None = None
    """The loaded mm and the next task's, when nothing tells whether they are one and the same: what one
    switch shows holds for the next."""


class Known(NamedTuple):
    """A switch as the state stream has it."""

    time_ns: int
    cpu: int
    prev: int
    next: int
    prev_comm: int
    next_comm: int
    gaps: tuple[Gap, ...]
    fpu_live: bool | None
    """Whether prev's FPU registers are loaded (TIF_NEED_FPU_LOAD is clear); None when not told."""
    left: bool
    """Whether the CPU has left the last mm for init_mm, which has no LDT."""


class _Life:
    """A task's mm: > 0 made in the recording, < 0 of unknown origin, 0 none."""

    __slots__ = ("born", "cpu", "first_seen", "kthread", "mm", "user")

    def __init__(self, mm: int, born: bool, kthread: bool, seen: int) -> None:
        self.mm, self.born, self.kthread = mm, born, kthread
        self.user = born and not kthread
        self.first_seen = seen
        self.cpu = -1


class Knowledge:
    """Follows the state stream record by record; ``switch`` results are :class:`Known`."""

    def __init__(self, told: Told, comms: list[bytes]) -> None:
        self.told = told
        self._comms = comms
        self._lives: dict[int, _Life] = {}
        self._made_at: dict[int, int] = {}
        """mm made in the recording -> record number."""
        self._loaded: dict[int, int | None] = {}
        self._why: dict[int, str] = {}
        self._lazy: dict[int, bool] = {}
        self._group: dict[int, int] = {}
        self._at = 0
        self._io_learnt: set[int] = set()
        self._live: dict[int, bool] = {}
        self._owners: list[int] = []
        self._left: dict[int, bool] = {}
        """CPU -> it has left the mm it had loaded for init_mm."""

    def record(self, w0: int, w1: int, w2: int, w3: int) -> Known | None:
        """Take one record; what it tells when it is a switch."""
        self._at += 1
        cpu, kind, pid = w1 & 0xFFFF, w1 >> 16 & 0xFF, w1 >> 32
        a, b = w2 & 0xFFFFFFFF, w2 >> 32
        if kind == r.SWITCH:
            return self._switch(w0, cpu, a, b, w3)
        if kind == r.NEWTASK:
            self._newtask(pid, a, b)
        elif kind == r.EXEC:
            self._new_mm(a or pid, cpu)
        elif kind == r.INFO and b:
            self._group[a] = b
        elif kind == r.EXIT:
            self._leave(cpu, self._life(a or pid))
        elif kind == r.TLB_FLUSH and self._lazy.get(cpu):
            self._left[cpu] = True
        elif kind == r.FPU_ACTIVATED:
            self._live[cpu] = b == 0
        elif kind == r.LOST:
            self._live.pop(cpu, None)
            for each in list(self._loaded) if w1 >> 24 & r.ANY_CPU else [cpu]:
                self._loaded[each] = None
                self._why[each] = "after_loss"
        elif kind in (r.SYS_ENTER, r.RAW_ENTER):
            self._life(pid).user = True
            if kind == r.SYS_ENTER and a == r.SYS_IOPL:
                self._io_learnt.add(pid)
        return None

    # --- lives -----------------------------------------------------------------------------------

    def _life(self, pid: int, comm: int = 0) -> _Life:
        life = self._lives.get(pid)
        if life is None:
            kthread = pid in (0, KTHREADD) or named_like_kthread(self._comms[comm])
            mm = 0 if kthread else self._unknown(pid)
            life = self._lives[pid] = _Life(mm, False, kthread, self._at)
        return life

    def _unknown(self, pid: int) -> int:
        self._owners.append(pid)
        return -len(self._owners)

    def _newtask(self, parent_pid: int, pid: int, flags: int) -> None:
        parent = self._life(parent_pid)
        if parent.kthread:
            self._lives[pid] = _Life(0, True, True, self._at)
        elif flags & r.CLONE_VM:
            self._lives[pid] = _Life(parent.mm, True, False, self._at)
        else:
            self._lives[pid] = _Life(self._made(), True, False, self._at)

    def _new_mm(self, pid: int, cpu: int) -> None:
        life = self._life(pid)
        life.mm, life.user, life.kthread = self._made(), True, False
        if self.told.user_returns:
            self._live[cpu] = False  # fresh registers, loaded at the return to user mode
        self._loaded[cpu], self._lazy[cpu], self._left[cpu] = life.mm, False, False

    def _made(self) -> int:
        number = len(self._made_at) + 1
        self._made_at[number] = self._at
        return number

    def _leave(self, cpu: int, life: _Life) -> None:
        """exit_mm(): the CPU keeps the mm lazily, until its last user's exit_mmap() makes it leave."""
        if life.mm:
            if not any(other.mm == life.mm for other in self._lives.values() if other is not life):
                self._left[cpu] = True
            life.mm = 0
            self._lazy[cpu] = True

    # --- a switch ----------------------------------------------------------------------------------

    def _switch(self, time_ns: int, cpu: int, prev_pid: int, next_pid: int, c: int) -> Known:
        prev_comm, next_comm = c & 0xFFFFFF, c >> 24 & 0xFFFFFF
        prev, following = self._life(prev_pid, prev_comm), self._life(next_pid, next_comm)
        if self._loaded.get(cpu) is None:  # the mm of a user task that runs is the one that is loaded
            self._loaded[cpu] = None if prev.kthread else prev.mm
            self._why.setdefault(cpu, "first_on_cpu")
        dead = c >> 48 & 0xFF == r.STATE_DEAD
        if dead or prev.mm == 0:
            self._leave(cpu, prev)
        self._lazy[cpu] = self._lazy.get(cpu, True) if prev.kthread or not prev.mm else False
        gaps = [*self._mm_gaps(cpu, following), *self._state_gaps(prev, prev_pid, following, next_pid)]
        if dead and self.told.parentless_io and prev_pid in self._io_learnt:
            gaps.append(Gap("io_at_exit", {"iopl_differs": 0, "next_iopl": 0}))
        live = self._live.get(cpu)
        if live is None and not prev.kthread:
            gaps.append(Gap("fpu_live", {"prev_fpu": 0}))
        if self.told.user_returns:
            self._live[cpu] = False
        for task, pid, fact in ((prev, prev_pid, "prev"), (following, next_pid, "next")):
            if pid and not (task.kthread or task.user):
                if fact == "prev":
                    gaps.append(Gap("unnamed_kthread", {"prev_kernel": 1, "prev_fpu": 0}))
                else:
                    gaps.append(Gap("unnamed_kthread", {"next_kernel": 1, "mm_differs": 0, "ldt_differs": 0}))
        left = self._left.get(cpu, False)
        if following.kthread or not following.mm:
            self._lazy[cpu] = True
        else:
            self._loaded[cpu], self._left[cpu] = following.mm, False
            following.cpu = cpu
        if dead:
            del self._lives[prev_pid]
        return Known(time_ns, cpu, prev_pid, next_pid, prev_comm, next_comm, tuple(gaps), live, left)

    def _mm_gaps(self, cpu: int, task: _Life) -> list[Gap]:
        if task.kthread or not task.mm:
            return []
        loaded = self._loaded[cpu]
        if loaded is None:
            return [_either(self._why[cpu])]
        if loaded == task.mm:
            gaps = []
            if self._lazy[cpu]:
                gaps.append(Gap("lazy_tlb", {"lazy_tlb_reload": 1}))
            if not self.told.execs and task.cpu not in (cpu, -1):
                gaps.append(Gap("exec_elsewhere", {"mm_differs": 1}))
            return gaps
        if self._differ(loaded, task):
            return []
        gaps = [_either("old_mm", (loaded, task.mm))]
        if self._lazy[cpu]:
            gaps.append(Gap("lazy_tlb", {"lazy_tlb_reload": 1}))
        return gaps

    def _differ(self, loaded: int, task: _Life) -> bool:
        """Whether the loaded mm is certainly not the task's."""
        if loaded > 0 and task.mm > 0:
            return True
        group, other = (
            self._group.get(self._owners[-mm - 1]) if mm < 0 else None for mm in (task.mm, loaded)
        )
        if group and other:
            return group != other
        if loaded < 0 and task.mm < 0:
            return False
        if self.told.births:
            return True  # one was made in the recording; the other task was not born in it
        if task.mm < 0:
            return task.first_seen < self._made_at[loaded]
        owner = self._lives.get(self._owners[-loaded - 1])
        return owner is not None and owner.first_seen < self._made_at[task.mm]

    def _state_gaps(self, prev: _Life, prev_pid: int, following: _Life, next_pid: int) -> list[Gap]:
        """State that has no source here, or that a task older than the recording may have had before."""
        told = self.told
        gaps = []
        for side, task, pid in (("prev", prev, prev_pid), ("next", following, next_pid)):
            if task.kthread:
                continue
            for name, known in (("notsc", told.notsc), ("io_bitmap", told.io), ("gs", False)):
                if not known or not task.born:
                    gaps.append(Gap(name, {f"{side}_{name}": 1}, task=pid))
            if not told.blockstep or not task.born:
                gaps.append(Gap("blockstep", {f"{side}_blockstep": 1}))
            if not told.tls or not task.born:
                gaps += [Gap("tls", {"tls": slots}, task=pid) for slots in (1, 2, 3, 0)]
        if not told.ldt and not following.kthread:
            gaps.append(Gap("ldt", {"prev_ldt": 1, "ldt_differs": 1}))
        return gaps


def _either(reason: str, pair: tuple[int, int] | None = None) -> Gap:
    """mm_differs may be what it is not: the value is turned round where it is used."""
    return Gap(reason, {"mm_differs": -1}, open=True, pair=pair)
