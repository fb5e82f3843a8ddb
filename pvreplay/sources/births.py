"""Which mm a task has that is older than the recording, or whose birth says too little.

What can be known when the task is first met, best evidence first:

1. a snapshot or kcmp of the recorder; thread group columns and sideband records (INFO, SAME_MM)
2. pid 2 is kthreadd (init/main.c, rest_init), and its children are kernel threads
3. what the switch path left behind around the task's first switches, read LOOKAHEAD records ahead:
   a save of its FPU registers (never done for a kernel thread), the CR3 that Xen loaded for it, a
   TLB flush in the switch to it (its mm differs from the loaded one; none: it is the same one)
4. assumptions: a kernel thread's name; an mm of its own

Reading is streaming, so a task's mm is settled there and never corrected later.
"""

from __future__ import annotations

from array import array
from typing import Final

from pvreplay.sources import _recover_cy as loop
from pvreplay.sources.records import FPU_DEACTIVATED, TLB_FLUSH
from pvreplay.sources.tables import Tables

LOOKAHEAD: Final = 2048
"""Records; the same for every source, so that a result does not depend on how a file was read."""

KTHREADD: Final = 2

_EXACT: Final = frozenset(
    b"kthreadd rcu_sched rcu_bh rcu_preempt rcu_gp rcu_par_gp khelper kdevtmpfs netns kauditd khungtaskd "
    b"oom_reaper writeback khugepaged ksmd kblockd kintegrityd kthrotld bioset md edac-poller devfreq_wq "
    b"kdamond watchdogd kseriod pdflush kjournald bdi-default kacpid kacpi_notify kpsmoused kstriped "
    b"sync_supers crypto ata_sff deferwq charger_manager mm_percpu_wq inet_frag_wq pool_workqueue_release "
    b"slub_flushwq cpuset kapmd xenwatch xenbus".split()
)
_WITH_NUMBER: Final = frozenset(
    b"kswapd kcompactd ksoftirqd migration watchdog cpuhp rcuop rcuos rcuob rcuc rcub rcuog rcu_tasks_kthre "
    b"idle_inject events aio ata crypto posix_cpu_timer loop scsi_eh_ scsi_tmf_ mmcqd kblockd rpciod "
    b"kondemand kconservative irqbalance-k md kdamond. sirq-timer stopper backlog_napi ktimers".split()
)
_PREFIX: Final = (b"kworker/", b"irq/", b"jbd2/", b"flush-", b"cfinteractive", b"rcu_tasks_", b"xfs-", b"dm-")


def named_like_kthread(comm: bytes) -> bool:
    """Whether a name is one that kernel threads have (a user task may call itself that, too)."""
    stem = comm.rstrip(b"0123456789").rstrip(b"/").rstrip(b":")
    if b"/" in comm:
        head = comm.split(b"/", 1)[0]
        if head in _WITH_NUMBER:
            return True
    return comm in _EXACT or (stem != comm and stem in _WITH_NUMBER) or comm.startswith(_PREFIX)


def whole_kthread_name(cut: bytes) -> bytes:
    """A kernel thread's name that *cut* may be the beginning of, or *cut*: function_graph bars hold
    seven characters of a name."""
    if len(cut) < 7:
        return cut
    for name in sorted(_EXACT):
        if name.startswith(cut):
            return name
    for name in sorted(_WITH_NUMBER):
        if name.startswith(cut):
            return name + b"/0"
    return next((name for name in _PREFIX if name.startswith(cut)), cut)


class Births:
    """Settles mms; keeps the facts it settles them by, and how often each was used."""

    def __init__(self, tables: Tables, assume: dict[str, str], enabled: frozenset[str] | None) -> None:
        self._tables = tables
        self._assume = assume
        self._flushes_told = enabled is not None and "tlb:tlb_flush" in enabled
        self._saves_told = enabled is not None and "x86_fpu:x86_fpu_regs_deactivated" in enabled
        self._mm_of_name: dict[int, int] = {}
        self._mm_of_group: dict[int, int] = {}
        self._same: dict[int, int] = {}
        self._mm_of_same: dict[int, int] = {}
        self.group: dict[int, int] = {}
        """pid -> tgid."""
        self.kind: dict[int, bool] = {}
        """pid -> is a kernel thread, when a record said so."""
        self.compared: set[int] = set()
        """pids whose mm was compared with that of every other process (MM_COMPARED)."""
        self._how = bytearray(b"\0")
        self._words: list[str] = []
        self.tally: dict[str, int] = {}
        self.fpu = False
        """Whether the task last settled was seen to hold FPU state."""
        self._out = array("Q", bytes(32))

    ASSUMED: Final = frozenset({"name", "own mm", "fork", "shared by name"})

    def tell(self, pid: int, tgid: int, kthread: bool, user: bool) -> None:
        """An INFO record."""
        if tgid:
            self.group[pid] = tgid
            task = self._tables.find(pid)
            if task and self._tables.mm(task):
                self._mm_of_group.setdefault(tgid, self._tables.mm(task))
        if kthread or user:
            self.kind[pid] = kthread

    def tell_same(self, pid: int, other: int) -> None:
        """A SAME_MM record."""
        first = self._same.get(pid) or self._same.get(other) or pid
        joined = {self._same.get(pid, first), self._same.get(other, first)} - {first}
        for member in [known for known, leader in self._same.items() if leader in joined]:
            self._same[member] = first
        self._same[pid] = self._same[other] = first
        for known in (pid, other):
            if self._tables.mm(self._tables.find(known)):
                self._mm_of_same.setdefault(first, self._tables.mm(self._tables.find(known)))

    def forget(self, pid: int) -> None:
        """The pid's life is over."""
        self.group.pop(pid, None)
        self.kind.pop(pid, None)
        self._same.pop(pid, None)
        self.compared.discard(pid)

    def note(self, task: int, how: str) -> None:
        """Remember what settled a task's mm."""
        if how not in self.tally:
            self._words.append(how)
        self.tally[how] = self.tally.get(how, 0) + 1
        self._how.extend(bytes(task + 1 - len(self._how)))
        self._how[task] = self._words.index(how)

    def how(self, task: int) -> str:
        """What settled a task's mm."""
        return self._words[self._how[task]] if 0 < task < len(self._how) else ""

    def joins(self, pid: int, mm: int) -> None:
        """This pid has this mm: its whole thread group does."""
        tgid = self.group.get(pid)
        if tgid and mm:
            self._mm_of_group[tgid] = mm
        same = self._same.get(pid) or self._same.get(tgid or 0)
        if same and self._mm_of_same.setdefault(same, mm) != mm:
            # exec: it shares with nobody any more
            self._same.pop(pid, None)
            self._same.pop(tgid or 0, None)

    def settle(
        self, words: memoryview, i: int, n: int, cpu: int, pid: int, comm: bytes, name: int
    ) -> tuple[int, str]:
        """(mm, evidence) of the task *pid*, first met in record *i* on *cpu*; sets ``fpu``.

        *n* is where the records known so far end; *name* is the number of *comm*.
        """
        tables, out = self._tables, self._out
        self.fpu = False
        seen = loop.scan(words, i, min(n, i + LOOKAHEAD), pid, out)
        tgid = self.group.get(pid) or out[2]
        if tgid:
            self.group[pid] = tgid
        if self.kind.get(pid) or seen & loop.S_KTHREAD:
            return 0, "told"
        shared = self._mm_of_same.get(self._same.get(pid) or self._same.get(tgid) or 0, 0)
        if shared:
            self.joins(pid, shared)
            return shared, "kcmp"
        if tgid in self._mm_of_group:
            return self._mm_of_group[tgid], "thread group"
        if pid == KTHREADD:
            return 0, "pid 2"
        if pid in self.compared:
            self.fpu = self._assume["mm"] == "seen" and bool(seen & loop.S_FPU_SAVED) and out[0] & 7 != 0
            own = tables.new_mm()
            self.joins(pid, own)
            return own, "kcmp"
        user = self.kind.get(pid) is False or bool(seen & loop.S_USER)
        looks_kthread = not user and self._assume["kthreads"] == "names" and named_like_kthread(comm)
        if self._assume["mm"] == "seen":
            self.fpu = bool(seen & loop.S_FPU_SAVED) and out[0] & 7 != 0
            found = self._by_switch(words[4 * i + 2] >> 32 == pid, seen, cpu, user, looks_kthread)
            if found is not None:
                self.joins(pid, found[0])
                return found
        if looks_kthread:
            return 0, "name"
        if self._assume["mm"] == "per-comm" and name:
            mm = self._mm_of_name.get(name)
            if mm is None:
                mm = self._mm_of_name[name] = tables.new_mm()
            return mm, "shared by name"
        mm = tables.new_mm()
        self.joins(pid, mm)
        return mm, "own mm"

    def _by_switch(
        self, entered: bool, seen: int, cpu: int, user: bool, looks_kthread: bool
    ) -> tuple[int, str] | None:
        """What the first switches to (when *entered*) and from the task left behind."""
        tables, out = self._tables, self._out
        told = tables.ctl[loop.C_COUNTS + FPU_DEACTIVATED] or seen & loop.S_SAVES_TOLD
        saves_told = self._saves_told or bool(told)
        told = tables.ctl[loop.C_COUNTS + TLB_FLUSH] or seen & loop.S_FLUSHES_TOLD
        flushes_told = self._flushes_told or bool(told)
        user = user or bool(seen & (loop.S_FPU_SAVED | loop.S_FLUSHED | loop.S_CR3))
        # 6.1 saves at every switch out of a user task.  Later kernels do not when the registers are
        # saved already, so one switch without a save is enough only for a kernel thread's name.
        if not user and saves_told and out[3] > (0 if looks_kthread else 1):
            return 0, "no FPU save"
        if seen & loop.S_CR3:
            return tables.mm_of_cr3(out[1]) or tables.new_mm(), "Xen CR3"
        loaded = tables.active_mm(cpu)
        if entered and flushes_told and loaded:
            if seen & loop.S_FLUSHED:
                return tables.new_mm(), "TLB flush"
            if user:
                return loaded, "no TLB flush"
        return None
