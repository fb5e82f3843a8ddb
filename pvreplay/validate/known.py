"""What a recording without its evidence cannot tell about a switch.

Every switch gets its *gaps*: facts the prediction had to take a value for, the
other value they may have, and why.  A gap is *open* when nothing speaks for
the value taken (the mms of two tasks older than the recording); otherwise it
has a default that stands until the evidence contradicts it in just that fact
(a CPU in lazy TLB mode whose mm was flushed by another CPU meanwhile).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvreplay.sources import records as r
from pvreplay.sources.births import KTHREADD, named_like_kthread
from pvreplay.validate.contents import Contents, Gap
from pvreplay.validate.told import Told

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
    "tls": "nothing tells which TLS slots differ: descriptors are handed over by a pointer, and a task older "
    "than the recording may have some",
    "ldt": "nothing tells the LDT of the mm",
    "exiting": "one of the last switches of a task that exits: it gives its mm up before anything tells",
    "exec_due": "a vfork child has left its parent's mm when its exec is told, and somewhat before that",
    "gs": "nothing tells whether %gs holds a selector: user mode loads it without a system call",
    "fpu_live": "nothing tells whether the task returned to user mode since it was switched to: its FPU "
    "registers are restored there, and are saved only when they were",
    "cut": "the recording begins or ends in the middle of the switch, or events are missing in it",
}


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
    stale: bool
    """Whether the mm is loaded again although it is the one that is loaded: it was flushed meanwhile."""
    left: bool
    """Whether the CPU has left the last mm for init_mm, which has no LDT."""


class _Life:
    """A task's mm: > 0 made in the recording, < 0 of unknown origin, 0 none."""

    __slots__ = (
        "born",
        "borrows",
        "comm",
        "cpu",
        "exited",
        "first_seen",
        "kthread",
        "loaded",
        "loose",
        "mm",
        "renamed",
        "user",
    )

    def __init__(self, mm: int, born: bool, kthread: bool, seen: int) -> None:
        self.mm, self.born, self.kthread = mm, born, kthread
        self.user = born and not kthread
        self.first_seen = seen
        self.cpu = -1
        self.comm = -1
        """Its name when it was switched to."""
        self.renamed = self.loaded = 0
        """Records at which its name had changed (an exec does that) and at which it set a TLS slot."""
        self.exited = self.loose = False
        """Whether it has given its mm up; whether it shares one without being a thread."""
        self.borrows = False
        """A vfork child before its exec."""


class Knowledge:
    """Follows the state stream record by record; ``switch`` results are :class:`Known`."""

    def __init__(
        self, told: Told, comms: list[bytes], last_switches: tuple[set[int], set[int]], compat: set[int]
    ) -> None:
        self.told = told
        self.contents = Contents(told, compat)
        self._last_in, self._last_out = last_switches
        self._number = -1
        self._before: dict[int, int | None] = {}
        """CPU -> mm loaded before a switch that may have gone to a task without one."""
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
        self._stale: dict[int, bool] = {}
        """CPU -> the mm it has loaded was flushed without its notice."""
        self._heirs: set[int] = set()
        """mms made as copies of such whose LDT is not told."""
        self._left: dict[int, bool] = {}
        """CPU -> it has left the mm it had loaded for init_mm."""

    def record(self, w0: int, w1: int, w2: int, w3: int) -> Known | None:
        """Take one record; what it tells when it is a switch."""
        self._at += 1
        cpu, kind, pid = w1 & 0xFFFF, w1 >> 16 & 0xFF, w1 >> 32
        a, b = w2 & 0xFFFFFFFF, w2 >> 32
        if kind == r.SWITCH:
            self._number += 1
            return self._switch(w0, cpu, a, b, w3)
        if kind == r.NEWTASK:
            self._newtask(pid, a, b)
        elif kind == r.EXEC:
            self.contents.exec(a or pid, cpu)
            self._new_mm(a or pid, cpu)
        elif kind == r.INFO and b:
            self._group[a] = b
        elif kind == r.EXIT:
            self._leave(cpu, self._life(a or pid))
        elif kind == r.TLB_FLUSH and self._lazy.get(cpu):
            self._left[cpu] = True
        elif kind == r.MM_FLUSHED:
            self._flushed(cpu, pid, everywhere=bool(a))
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
            number = a if kind == r.SYS_ENTER else (r.NR_I386 if self.told.i386 else r.NR_X86_64).get(a, 0)
            self.contents.call(pid, cpu, number, b, w3 & 0xFFFFFFFF, w3 >> 32)
            if number == r.SYS_SET_THREAD_AREA:
                self._life(pid).loaded = self._at
            if kind == r.RAW_ENTER:
                self.contents.raw_call(pid, a, b, w3 >> 32)
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
        self.contents.born(0 if parent.kthread else parent_pid, pid, flags)
        if parent.kthread:
            self._lives[pid] = _Life(0, True, True, self._at)
        elif flags & r.CLONE_VM:
            self._lives[pid] = _Life(parent.mm, True, False, self._at)
            self._lives[pid].borrows = bool(flags & r.CLONE_VFORK)
            self._lives[pid].loose = not flags & r.CLONE_THREAD
        else:
            self._lives[pid] = _Life(self._made(), True, False, self._at)
            if self._ldt_open(parent.mm):
                self._heirs.add(self._lives[pid].mm)

    def _new_mm(self, pid: int, cpu: int) -> None:
        life = self._life(pid)
        life.mm, life.user, life.kthread, life.borrows = self._made(), True, False, False
        if self.told.user_returns:
            self._live[cpu] = False  # fresh registers, loaded at the return to user mode
        self._loaded[cpu], self._lazy[cpu], self._left[cpu] = life.mm, False, False

    def _ldt_open(self, mm: int) -> bool:
        """Whether the mm may have an LDT since before the recording, or by a call that is not told."""
        told = self.told.ldt and self.told.births  # a thread whose birth is not told may have set it
        return mm < 0 or mm in self._heirs or (mm > 0 and not told)

    def _made(self) -> int:
        number = len(self._made_at) + 1
        self._made_at[number] = self._at
        return number

    def _leave(self, cpu: int, life: _Life) -> None:
        """exit_mm(): a CPU keeps the mm lazily, until its last user's exit_mmap() makes it leave."""
        if life.mm:
            if not any(other.mm == life.mm for other in self._lives.values() if other is not life):
                self._left[cpu] = True
                for other, loaded in self._loaded.items():
                    if loaded == life.mm and self._lazy.get(other):
                        self._left[other] = True
            life.mm, life.exited = 0, True
            self._lazy[cpu] = True

    def _flushed(self, cpu: int, pid: int, *, everywhere: bool) -> None:
        """flush_tlb_mm_range(): this CPU keeps up with the mm's TLB generation, a lazy one does not.

        Under Xen (*everywhere*) no other CPU does: the hypervisor flushes, and tells nobody.
        """
        mm = self._lives[pid].mm if pid in self._lives else 0
        for other, loaded in self._loaded.items():
            if other == cpu:
                self._stale[other] = False
            elif mm and loaded == mm and (everywhere or self._lazy.get(other)):
                self._stale[other] = True

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
        stale = bool(
            following.mm
            and self._lazy[cpu]
            and self._stale.get(cpu)
            and self._loaded[cpu] == following.mm
            and not self._left.get(cpu)
        )
        if stale or (following.mm and following.mm != self._loaded[cpu]):
            self._stale[cpu] = False
        gaps = [
            *self._mm_gaps(cpu, following),
            *self._exit_gaps(cpu, prev, prev_pid, following, dead),
            *self._state_gaps(cpu, prev, prev_pid, following, next_pid),
        ]
        if dead and self.told.parentless_io and prev_pid in self._io_learnt:
            gaps.append(Gap("io_at_exit", {"iopl_differs": 0, "next_iopl": 0}))
        live = self._live.get(cpu)
        if prev.comm not in (-1, prev_comm):
            prev.renamed = self._at
        renamed = not self.told.execs and prev.comm not in (-1, prev_comm)  # it may have called exec
        if (live is None or renamed) and not prev.kthread:
            gaps.append(Gap("fpu_live", {"prev_fpu": 0}))
        if self.told.user_returns:
            self._live[cpu] = False
        for task, pid, fact in ((prev, prev_pid, "prev"), (following, next_pid, "next")):
            if pid and not (task.kthread or task.user):
                if fact == "prev":
                    gaps.append(Gap("unnamed_kthread", {"prev_kernel": 1, "prev_fpu": 0}))
                else:
                    gaps.append(Gap("unnamed_kthread", {"next_kernel": 1, "mm_differs": 0, "ldt_differs": 0}))
        if following.comm not in (-1, next_comm):
            following.renamed = self._at
        following.comm = next_comm
        left = self._left.get(cpu, False)
        if following.kthread or not following.mm:
            self._lazy[cpu] = True
        else:
            if self._number not in self._last_in:
                self._before.pop(cpu, None)
            else:
                self._before.setdefault(cpu, self._loaded[cpu])
            self._loaded[cpu], self._left[cpu] = following.mm, False
            following.cpu = cpu
        if dead:
            del self._lives[prev_pid]
            self.contents.dead(prev_pid)
        return Known(time_ns, cpu, prev_pid, next_pid, prev_comm, next_comm, tuple(gaps), live, stale, left)

    def _exit_gaps(self, cpu: int, prev: _Life, prev_pid: int, following: _Life, dead: bool) -> list[Gap]:
        """exit_mm() and exit_thread() come before, and after, the event that tells an exit."""
        gaps = []
        if self._number in self._last_in and following.mm:
            gaps.append(Gap("exiting", {"next_kernel": 1, "mm_differs": 0, "lazy_tlb_reload": 0}))
        if cpu in self._before and following.mm and self._before[cpu] != self._loaded[cpu]:
            gaps.append(Gap("exiting", {"mm_differs": -1}))
        if self._number in self._last_out or self._lazy[cpu]:  # the last user may be gone already
            gaps.append(Gap("exiting", {"prev_ldt": 0}))
        if prev.exited and (not dead or self.contents.io_inherited(prev_pid)):
            gaps.append(Gap("io_at_exit", {"prev_io_bitmap": -1}))
        return gaps

    def _mm_gaps(self, cpu: int, task: _Life) -> list[Gap]:
        if task.kthread or not task.mm:
            return []
        loaded = self._loaded[cpu]
        if loaded is None:
            return [_either(self._why[cpu])]
        if loaded == task.mm:
            gaps = self._reload_gaps(cpu)
            if not self.told.execs and (task.cpu not in (cpu, -1) or self._shared(loaded)):
                gaps.append(Gap("exec_elsewhere", {"mm_differs": 1}))
            if any(life.borrows and life.mm == loaded for life in self._lives.values()):
                gaps.append(Gap("exec_due", {"mm_differs": -1}))
            return gaps
        if self._differ(loaded, task):
            return []
        may_exit = self._number in self._last_in  # without an mm it shows nothing of the one it had
        either = _either("old_mm", (loaded, task.mm))._replace(lasting=not may_exit)
        return [either, *self._reload_gaps(cpu)]

    def _shared(self, mm: int) -> bool:
        """Whether processes share it: an exec of one leaves the other its mm (and ends other threads)."""
        return any(life.mm == mm and life.loose for life in self._lives.values())

    def _reload_gaps(self, cpu: int) -> list[Gap]:
        """Loaded again because it was left (its LDT, too) or because its TLB generation is stale."""
        if not self._lazy[cpu]:
            return []
        return [
            Gap("lazy_tlb", {"lazy_tlb_reload": 0}),
            Gap("lazy_tlb", {"lazy_tlb_reload": 1}),
            Gap("lazy_tlb", {"lazy_tlb_reload": 1, "next_ldt": 0}),
        ]

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

    def _state_gaps(self, cpu: int, prev: _Life, prev_pid: int, following: _Life, next_pid: int) -> list[Gap]:
        """State that has no source here, or that a task older than the recording may have had before."""
        told = self.told
        ours, theirs = 0 if prev.kthread else prev_pid, 0 if following.kthread else next_pid
        gaps = list(self.contents.gaps(cpu, ours, theirs))
        for side, task, pid in (("prev", prev, prev_pid), ("next", following, next_pid)):
            if task.kthread:
                continue
            gaps.append(Gap("gs", {f"{side}_gs": 1}, key=pid))
            if not told.execs and task.renamed > task.loaded:
                gaps.append(Gap("gs", {f"{side}_gs": 0}, key=pid))
            if not told.blockstep or not task.born:
                gaps.append(Gap("blockstep", {f"{side}_blockstep": 1}, key=pid if side == "next" else 0))
        loaded = self._loaded[cpu] or 0
        if self._ldt_open(loaded) and not (loaded > 0 and self._left.get(cpu)):
            gaps.append(Gap("ldt", {"prev_ldt": 1, "ldt_differs": 1}, key=loaded))
        if not told.execs:
            gaps += [Gap("ldt", {"prev_ldt": 0}), Gap("ldt", {"next_ldt": 0})]
        if self._ldt_open(following.mm):
            gaps.append(Gap("ldt", {"next_ldt": 1, "ldt_differs": 1}, key=following.mm))
        return gaps


def _either(reason: str, pair: tuple[int, int] | None = None) -> Gap:
    """mm_differs may be what it is not: the value is turned round where it is used."""
    return Gap(reason, {"mm_differs": -1}, open=True, pair=pair)
