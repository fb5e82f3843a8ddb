"""What each kind of raw record means: births, exec, exit, names, system calls, odd switches.

The compiled loop takes the ordinary records; every other one comes here, one method a type.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final

from pvreplay.sources import _recover_cy as loop
from pvreplay.sources import records as r
from pvreplay.sources.births import KTHREADD, LOOKAHEAD, Births
from pvreplay.sources.calls import Call, Calls
from pvreplay.sources.records import RawSource
from pvreplay.sources.tables import UNKNOWN_PID, Tables
from pvreplay.trace.events import Kind

Handler = Callable[[int, int, int, int, int, int, int, int], None]
"""(record's number, time, CPU, flags, common_pid, a, b, c)."""


class Handlers:
    """Turns records into events and tasks, with *births* for mms and *calls* for system calls."""

    def __init__(self, source: RawSource, words: memoryview, tables: Tables, assume: dict[str, str]) -> None:
        self.assume = assume
        self.births = Births(tables, assume, source.enabled)
        self.calls = Calls(tables, assume["abi"], source.word_bits, source.enabled)
        if source.enabled is not None and any("sys_exit" in name for name in source.enabled):
            self.calls.expect_exits()
        self.end = 0
        """Records known so far: how far may be looked ahead."""
        self.execs = source.enabled is not None and "sched:sched_process_exec" in source.enabled
        """Whether an exec would have been told."""
        self.doubts: dict[str, int] = {}
        self._source = source
        self._words = words
        self._tables = tables
        self._vforks: dict[int, int] = {}
        """vfork parent -> child."""
        self._blocked: set[int] = set()
        """vfork parents that have gone to sleep."""
        self._early: set[int] = set()
        """Tasks whose exec was concluded before it was told."""
        self.by_type: Final[dict[int, Handler]] = {
            r.SWITCH: self._switch,
            r.NEWTASK: self._newtask,
            r.FORK: self._fork,
            r.EXEC: self._exec,
            r.EXIT: self._exit,
            r.FREE: self._free,
            r.RENAME: self._rename,
            r.INFO: self._info,
            r.SAME_MM: self._same_mm,
            r.LOST: self._lost,
            r.TLB_FLUSH: self._flush,
            r.SYS_ENTER: self._sys_enter,
            r.SYS_EXIT: self._sys_exit,
            r.RAW_ENTER: self._raw_enter,
            r.RAW_EXIT: self._sys_exit,
        }

    # --- who is it ---------------------------------------------------------------------------
    def name(self, comm: int) -> str:
        comms = self._source.comms
        return comms[comm].decode("utf-8", "backslashreplace") if 0 < comm < len(comms) else ""

    def _task(self, i: int, cpu: int, pid: int, comm: int = 0) -> int:
        """The task a pid stands for in record *i*; a new one when it was never met."""
        tables = self._tables
        if pid in (0, UNKNOWN_PID):
            return 0
        task = tables.find(pid)
        if task:
            return task
        if tables.find_any(pid):
            task = self._exec_ahead(i, pid)
            if task:
                return task
        comms = self._source.comms
        name = comms[comm] if comm < len(comms) else b""
        mm, how = self.births.settle(self._words, i, self.end, cpu, pid, name, comm)
        task = tables.new_task(pid, comm, self.name(comm), mm).id
        self.births.note(task, how)
        self._dress(task, fpu=self.births.fpu)
        return task

    def _exec_ahead(self, i: int, pid: int) -> int:
        """A thread that called exec takes its leader's pid before the event of the exec comes: the
        task of old_pid, when such an event is ahead."""
        at = loop.seek(self._words, i + 1, min(self.end, i + LOOKAHEAD), r.EXEC, pid)
        old = self._words[4 * at + 2] >> 32 if at >= 0 else pid
        task = self._tables.find(old) if old != pid else 0
        if task:
            self._tables.bind(pid, task)
        return task

    def _dress(self, task: int, fpu: bool = False) -> None:
        """State that follows from what is assumed for a task with this mm."""
        tables, mm = self._tables, self._tables.mm(task)
        rule = self.assume["fpu"]
        uses = fpu if rule == "seen" else rule == "always" or (rule == "user" and mm != 0)
        tables.set(task, loop.T_FPU, uses)
        definition = tables.live[task]
        definition.mm = mm
        if mm and self.assume["tls"] == "per-task":
            definition.tls = (self.calls.next_word(), 0, 0)
            definition.gs = True
            self.calls.slots[task] = 1

    def _running(self, i: int, time_ns: int, cpu: int, pid: int, comm: int = 0) -> int:
        """The task *pid*, which runs on *cpu* now; an ON when that was not known."""
        current = self._tables.current(cpu)
        if pid == UNKNOWN_PID and current != loop.NOBODY:
            return current
        task = self._task(i, cpu, pid, comm)
        if task != current:
            self._tables.run_task(time_ns, cpu, task, Kind.ON)
            if self._tables.has(task, loop.T_EXEC_DUE):
                self._new_image(time_ns, cpu, task)
        return task

    # --- switches ----------------------------------------------------------------------------
    def _switch(
        self, i: int, time_ns: int, cpu: int, flags: int, _pid: int, prev_pid: int, next_pid: int, c: int
    ) -> None:
        tables = self._tables
        prev_comm, next_comm = c & 0xFFFFFF, c >> 24 & 0xFFFFFF
        if not flags & r.NO_PREV:
            prev = self._running(i, time_ns, cpu, prev_pid, prev_comm)
        elif tables.current(cpu) != loop.NOBODY:
            prev = tables.current(cpu)
        else:
            prev = 0
            self._doubt("unknown_prev")
        state = c >> 48 & 0xFF
        dead = bool(prev) and (
            state == r.STATE_DEAD
            or (state == r.STATE_PARKED_OR_DEAD and bool(tables.mm(prev) or tables.has(prev, loop.T_EXITED)))
        )
        if prev:
            tables.set_comm(prev, prev_comm, self.name(prev_comm))
            tables.set(prev, loop.T_NEWBORN, on=False)
            if tables.has(prev, loop.T_PENDING):
                call = self.calls.switched_out(prev, self._words, i, self.end)
                if call:
                    self._apply(i, time_ns, cpu, prev, call)
            if tables.has(prev, loop.T_VFORK) and state == r.STATE_BLOCKED:
                self._blocked.add(prev)
            if state != r.STATE_PREEMPTED:
                self.calls.step_over(time_ns, cpu, prev)
            if dead:
                self._leave_mm(time_ns, cpu, prev)
        task = self._task(i, cpu, next_pid, next_comm)
        if task in self._blocked:
            self._vfork_done(i, time_ns, task)
        tables.set_comm(task, next_comm, self.name(next_comm))
        tables.run_task(time_ns, cpu, task, Kind.SWITCH)
        if tables.has(task, loop.T_EXEC_DUE):
            self._new_image(time_ns, cpu, task)
        if dead:
            self._over(prev)

    def _lost(
        self, _i: int, time_ns: int, cpu: int, _flags: int, _pid: int, a: int, _b: int, _c: int
    ) -> None:
        self._tables.emit(time_ns, cpu, Kind.LOST, a)
        # The exec that is waited for may be among them: better one new mm too many than one too few.
        self._early.clear()

    # --- births and deaths -------------------------------------------------------------------
    def _newtask(
        self, i: int, time_ns: int, cpu: int, _flags: int, pid: int, child_pid: int, clone: int, comm: int
    ) -> None:
        tables = self._tables
        parent = self._running(i, time_ns, cpu, pid)
        shares = bool(clone & r.CLONE_VM) or not tables.mm(parent)
        mm = tables.mm(parent) if shares else tables.new_mm()
        self.births.forget(child_pid)  # what was told was of an earlier task with this pid
        child = self._born(time_ns, cpu, parent, child_pid, comm, mm, "task_newtask")
        tables.set(child, loop.T_NEWBORN)
        group = self.births.group.get(pid)
        if clone & r.CLONE_THREAD and group:
            self.births.group[child_pid] = group
        self.calls.copy_ldt(time_ns, cpu, parent, child)
        mask = self.calls.slots.get(parent, 0)
        if mask and clone & r.CLONE_SETTLS:
            tables.emit(time_ns, cpu, Kind.FOR, child)
            tables.emit(
                time_ns, cpu, Kind.TLS, self.calls.next_word(), 0 if mask & 1 else mask.bit_length() - 1
            )
        if clone & r.CLONE_VFORK and shares and mm:
            tables.set(parent, loop.T_VFORK)
            tables.set(child, loop.T_BORROWS)
            self._vforks[parent] = child

    def _fork(
        self, i: int, time_ns: int, cpu: int, flags: int, pid: int, child_pid: int, parent_pid: int, comm: int
    ) -> None:
        tables = self._tables
        known = tables.find(child_pid)
        if known and tables.has(known, loop.T_NEWBORN):
            tables.set(known, loop.T_NEWBORN, on=False)
            return
        parent = self._running(i, time_ns, cpu, parent_pid if pid == UNKNOWN_PID else pid)
        if parent_pid == KTHREADD or not tables.mm(parent):
            mm, how = 0, "kthread's child"
        elif flags & r.SAME_GROUP or (
            not flags & r.OTHER_GROUP and self._same_group(i, parent_pid, child_pid)
        ):
            mm, how = tables.mm(parent), "thread group"
        elif flags & r.OTHER_GROUP:
            mm, how = tables.new_mm(), "thread group"
        else:
            thread = self.assume["fork"] == "thread"
            mm, how = (tables.mm(parent) if thread else tables.new_mm()), "fork"
        child = self._born(time_ns, cpu, parent, child_pid, comm, mm, how)
        self.calls.copy_ldt(time_ns, cpu, parent, child)

    def _same_group(self, i: int, parent_pid: int, child_pid: int) -> bool:
        """Whether records ahead say that child and parent are threads of one process."""
        group = self.births.group
        for pid in (child_pid, parent_pid):
            if pid not in group:
                at = loop.seek(self._words, i + 1, min(self.end, i + LOOKAHEAD), r.INFO, pid)
                if at >= 0 and self._words[4 * at + 2] >> 32:
                    group[pid] = self._words[4 * at + 2] >> 32
        return child_pid in group and group[child_pid] in (group.get(parent_pid, parent_pid), parent_pid)

    def _born(self, time_ns: int, cpu: int, parent: int, pid: int, comm: int, mm: int, how: str) -> int:
        """A child of the current task; it inherits what FORK says it does."""
        tables = self._tables
        old = tables.find(pid)
        if old:
            self._over(old)
        child = tables.new_task(pid, comm, self.name(comm), mm).id
        self.births.note(child, how)
        self.births.joins(pid, mm)
        rule = self.assume["fpu"]
        tables.set(
            child,
            loop.T_FPU,
            tables.has(parent, loop.T_FPU)
            if rule == "seen"
            else rule == "always" or (rule == "user" and mm != 0),
        )
        if parent in self.calls.slots:
            self.calls.slots[child] = self.calls.slots[parent]
        tables.emit(time_ns, cpu, Kind.FORK, child)
        return child

    def _exec(
        self, i: int, time_ns: int, cpu: int, _flags: int, pid: int, now: int, old: int, comm: int
    ) -> None:
        tables = self._tables
        self.execs = True
        if old != now and old:
            thread = tables.find(old)
            if thread and tables.find(now) != thread:
                leader = tables.find(now)
                if leader:
                    self._over(leader)
                tables.bind(now, thread)
        task = self._running(i, time_ns, cpu, now if pid == UNKNOWN_PID else pid)
        if not task:
            return
        tables.set_comm(task, comm, self.name(comm))
        if task in self._early:
            self._early.discard(task)
            if not tables.has(task, loop.T_EXEC_DUE):
                return
        self._new_image(time_ns, cpu, task)

    def _new_image(self, time_ns: int, cpu: int, task: int) -> None:
        """The current task has a new mm and fresh registers."""
        tables = self._tables
        mm = tables.new_mm()
        tables.set_mm(task, mm)
        tables.cpus[4 * cpu + 2] = mm
        tables.set(task, loop.T_EXEC_DUE | loop.T_EXITED | loop.T_BORROWS, on=False)
        tables.emit(time_ns, cpu, Kind.EXEC, mm)
        self.births.joins(tables.pid(task), mm)
        self.calls.slots.pop(task, None)
        if self.assume["fpu"] == "seen":
            tables.set(task, loop.T_FPU, on=False)
        elif self.assume["fpu"] == "user":
            tables.set(task, loop.T_FPU)
        if self.assume["tls"] == "per-task":
            self.calls.set_slot(time_ns, cpu, task)

    def _vfork_done(self, i: int, time_ns: int, parent: int) -> None:
        """A vfork parent wakes up: its child is inside exec, or exited.

        The kernel wakes the parent before the child loads its new mm, and long before
        sched_process_exec or sched_process_exit tell (and a recording may have neither).  So it was
        an exec, unless the child's next switch is its last or its exit comes before it; and the new
        mm is there from now on, unless a record ahead tells the moment.  A parent that was killed wakes
        up, too: it dies, and no exec is told.
        """
        tables = self._tables
        tables.set(parent, loop.T_VFORK, on=False)
        self._blocked.discard(parent)
        child = self._vforks.pop(parent, 0)
        if not child or not tables.has(child, loop.T_BORROWS) or tables.has(child, loop.T_ENDED):
            return
        pid = tables.pid(child)
        end = min(self.end, i + LOOKAHEAD)
        if self._dies(i, pid) or loop.loads_ahead(self._words, i, end, pid):
            return
        if self._dies(i, tables.pid(parent)) and loop.seek(self._words, i + 1, end, r.EXEC, pid) < 0:
            return
        self._early.add(child)
        for cpu in range(len(tables.cpus) // 4):
            if tables.current(cpu) == child:
                self._new_image(time_ns, cpu, child)
                return
        tables.set(child, loop.T_EXEC_DUE)

    def _dies(self, i: int, pid: int) -> bool:
        """Whether the task exits before anything else is told of it."""
        end = min(self.end, i + LOOKAHEAD)
        found = loop.scan(self._words, i + 1, end, pid, array("Q", bytes(32))) if i + 1 < end else 0
        return bool(found & (loop.S_DIES | loop.S_EXITS))

    def _flush(
        self, i: int, time_ns: int, cpu: int, _flags: int, pid: int, reason: int, _b: int, _c: int
    ) -> None:
        """A task loads CR3 outside a switch: exec's new mm (or the kernel patches its own text)."""
        if reason == 0:
            self._loads(i, time_ns, cpu, pid)

    def _loads(self, i: int, time_ns: int, cpu: int, pid: int) -> None:
        """The current task loads the mm of an exec here, if one is told ahead or it borrows its mm."""
        tables = self._tables
        task = tables.current(cpu)
        if task in (0, loop.NOBODY) or task in self._early or not tables.mm(task):
            return
        if tables.pid(task) != pid and (tables.find(pid) or self._exec_ahead(i, pid) != task):
            return
        exec_at = loop.seek(self._words, i + 1, min(self.end, i + LOOKAHEAD), r.EXEC, pid)
        if exec_at >= 0 or (tables.has(task, loop.T_BORROWS) and not self._dies(i, pid)):
            self._early.add(task)
            self._new_image(time_ns, cpu, task)

    def _exit(self, i: int, time_ns: int, cpu: int, _flags: int, pid: int, a: int, _b: int, _c: int) -> None:
        if pid in (a, UNKNOWN_PID) and a:
            self._leave_mm(time_ns, cpu, self._running(i, time_ns, cpu, a))

    def _leave_mm(self, time_ns: int, cpu: int, task: int) -> None:
        """The current task gives up its mm, once."""
        tables = self._tables
        if task and not tables.has(task, loop.T_EXITED):
            tables.set(task, loop.T_EXITED)
            tables.set(task, loop.T_BORROWS, on=False)
            tables.set(task, loop.T_FPU, on=False)
            if tables.mm(task):
                tables.emit(time_ns, cpu, Kind.EXIT)
                tables.set_mm(task, 0)

    def _over(self, task: int) -> None:
        """The task never runs again."""
        pid = self._tables.pid(task)
        self._tables.end(task)
        self.births.forget(pid)
        self.calls.slots.pop(task, None)
        self._vforks.pop(task, None)
        self._early.discard(task)

    def _free(
        self, _i: int, _time_ns: int, cpu: int, _flags: int, _pid: int, a: int, _b: int, _c: int
    ) -> None:
        task = self._tables.find(a)
        if task and self._tables.current(cpu) != task:
            self._over(task)

    # --- names and facts ---------------------------------------------------------------------
    def _rename(
        self, i: int, time_ns: int, cpu: int, _flags: int, pid: int, a: int, _b: int, comm: int
    ) -> None:
        self._tables.set_comm(self._tables.find(a), comm, self.name(comm))
        if pid == a:
            # exec renames after it has loaded the new mm; a name of prctl comes before another one
            exec_at = loop.seek(self._words, i + 1, min(self.end, i + LOOKAHEAD), r.EXEC, a)
            if exec_at < 0 or loop.seek(self._words, i + 1, exec_at, r.RENAME, a) < 0:
                self._loads(i, time_ns, cpu, pid)

    def _info(
        self, _i: int, _time_ns: int, _cpu: int, flags: int, _pid: int, a: int, tgid: int, comm: int
    ) -> None:
        self.births.tell(a, tgid, bool(flags & r.IS_KTHREAD), bool(flags & r.IS_USER))
        if flags & r.MM_COMPARED:
            self.births.compared.add(a)
        task = self._tables.find(a)
        if task and comm and not self._tables.comm(task):
            self._tables.set_comm(task, comm, self.name(comm))

    def _same_mm(
        self, _i: int, _time_ns: int, _cpu: int, _flags: int, _pid: int, a: int, b: int, _c: int
    ) -> None:
        self.births.tell_same(a, b)

    # --- system calls ------------------------------------------------------------------------
    def _sys_enter(
        self, i: int, _time_ns: int, cpu: int, flags: int, pid: int, a: int, b: int, c: int
    ) -> None:
        self.calls.enter(self._task(i, cpu, pid), a, b, c, flags)

    def _raw_enter(
        self, i: int, _time_ns: int, cpu: int, flags: int, pid: int, a: int, b: int, c: int
    ) -> None:
        call = self.calls.canonical(a, self._words, i, self.end, pid)
        if call:
            self.calls.enter(self._task(i, cpu, pid), call, b, c, flags)

    def _sys_exit(
        self, i: int, time_ns: int, cpu: int, _flags: int, pid: int, _a: int, _b: int, c: int
    ) -> None:
        task = self._tables.find(pid)
        if task:
            call = self.calls.leave(task, c)
            if call:
                self._apply(i, time_ns, cpu, task, call)

    def _apply(self, i: int, time_ns: int, cpu: int, task: int, call: Call) -> None:
        self._running(i, time_ns, cpu, self._tables.pid(task))
        target = self._task(i, cpu, call[2] & 0xFFFFFFFF) if call[0] == r.SYS_PTRACE else 0
        self.calls.apply(time_ns, cpu, task, call, target)

    def _doubt(self, name: str) -> None:
        self.doubts[name] = self.doubts.get(name, 0) + 1
