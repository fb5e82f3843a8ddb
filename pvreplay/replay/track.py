"""Task and CPU state, followed slowly and obviously: what the step engine knows.

Nothing here is shared with the compiled loop: objects and plain conditionals,
one method an event kind, no bit fields.  It is the loop's proof, and the place
to read what an event means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pvreplay.errors import TraceError
from pvreplay.machine.shape import (
    GUARDS,
    ITEM_PARK,
    ITEM_RESUME,
    MASKS,
    TLS_SHIFT,
    UNIT_LEAVE_MM,
    UNIT_NM,
    UNIT_SEQ,
    UNIT_SWITCH,
)
from pvreplay.replay.cpu_state import ENTERS, EXITS, CpuState, TaskState
from pvreplay.trace.events import MM_MAX, TARGETED, TASK_MAX, Kind

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.trace.model import Task


DOUBTS = ("lost_unknown", "unmatched", "out_of_order", "self_switch", "unfinished")


class Occurrence(NamedTuple):
    """Something that has a price happened: a switch (with its facts), #NM, leave_mm, or a sequence.

    *event* and *time_ns* tell where it began, *prev* who ran then.
    """

    unit_type: int
    facts: dict[str, int]
    items: tuple[int, ...]
    cpu: int
    task: int
    event: int
    time_ns: int
    prev: int


def shape_of(facts: dict[str, int]) -> int:
    """The shape that says the same as *facts*."""
    return sum(MASKS[name] for name in GUARDS if facts[name]) | facts["tls"] << TLS_SHIFT


class Tracker:
    """Follows a trace event by event; each gives the occurrences it completes."""

    def __init__(self, kernel: Kernel, nr_cpus: int, window_ns: tuple[int, int] | None = None) -> None:
        self.kernel = kernel
        self.window_ns = window_ns
        self.nr_cpus = nr_cpus
        self.nr_ops = 0
        self.cpus: dict[int, CpuState] = {}
        self.tasks: list[TaskState] = []
        self.ldt: dict[int, int] = {}
        self.events = 0
        self.switches = 0
        self.lost_events = 0
        self.doubts = dict.fromkeys(DOUBTS, 0)
        self.first_time_ns = (1 << 64) - 1
        self.last_time_ns = 0
        self.highest_cpu = 0
        self._mms_told: set[int] = set()
        self._time_ns = 0
        self._done: list[Occurrence] = []

    # --- before the events --------------------------------------------------------

    def define(self, task: Task) -> None:
        """A new task; an mm's LDT is told by the first task that has the mm."""
        if task.id != len(self.tasks) + 1 or task.id >= TASK_MAX:
            raise TraceError(f"task {task.id} is defined where task {len(self.tasks) + 1} is next")
        words = (*task.tls, task.ldt)
        if (
            not (0 <= task.mm < MM_MAX and 0 <= task.iopl <= 3 and 0 <= task.fpu_counter <= 255)
            or len(words) != 4
            or not all(0 <= word < 1 << 32 for word in words)
        ):
            raise TraceError(f"task {task.id} has a state that cannot be")
        new = TaskState(task.id, task.mm, list(task.tls), task.iopl)
        new.io_bitmap, new.dr, new.notsc = bool(task.io_bitmap), bool(task.dr), bool(task.notsc)
        new.gs, new.blockstep = bool(task.gs), bool(task.blockstep)
        new.ts_usedfpu, new.used_math, new.fpu_counter = (
            bool(task.fpu),
            bool(task.used_math),
            task.fpu_counter,
        )
        new.user = task.mm != 0
        if task.mm and task.mm not in self._mms_told:
            self._mms_told.add(task.mm)
            if task.ldt:
                self.ldt[task.mm] = task.ldt
        self.tasks.append(new)

    def runs_on(self, cpu: int, task: int) -> None:
        """*task* (0 is idle) runs on *cpu* before the first event."""
        at = self._cpu(cpu)
        self._found_running(at, self._task(at, task))

    # --- events -------------------------------------------------------------------

    def event(self, time_ns: int, cpu: int, kind: int, arg: int, flags: int) -> list[Occurrence]:
        """Follow one event; what it completed, in order.  :class:`TraceError` when it cannot be."""
        at = self._cpu(cpu)
        method = getattr(self, f"_{Kind(kind).name.lower()}", None) if kind in list(Kind) else None
        if method is None:
            raise TraceError(f"event kind {kind}")
        self._time_ns = time_ns
        self._done = []
        target, at.target = at.target, None
        if target is not None and kind not in TARGETED:
            self.doubts["unmatched"] += 1
            target = None
        if kind in TARGETED:
            method(target or at.current, arg, flags)
        elif kind in ENTERS or kind in EXITS:
            method(at, kind)
        else:
            method(at, arg)
        if at.rec.complete:
            self._close(at)
        if time_ns < at.last_time_ns:
            self.doubts["out_of_order"] += 1
        at.last_time_ns = time_ns
        self.first_time_ns = min(self.first_time_ns, time_ns)
        self.last_time_ns = max(self.last_time_ns, time_ns)
        self.events += 1
        return self._done

    def finish(self) -> list[Occurrence]:
        """The sequences that are open after the last event, CPU by CPU."""
        self._done = []
        for _, at in sorted(self.cpus.items()):
            if at.rec.items is not None:
                busy = at.rec.busy
                self._time_ns = at.last_time_ns
                if self._close(at) and busy:
                    self.doubts["unfinished"] += 1
        return self._done

    # --- who runs -----------------------------------------------------------------

    def _switch(self, at: CpuState, arg: int) -> None:
        prev, next_ = at.current, self._task(at, arg)
        rec = at.rec
        facts = self._facts(at, prev, next_)
        eager = bool(facts["next_eager"])
        facts["in_irq"] = int(rec.in_interrupt)
        rec.forget_interrupts()
        in_section = rec.lazy_mmu > 0
        if in_section and self.kernel.parks:
            facts["prev_parked"] = 1
            self._push(at, ITEM_PARK)
            self._close(at)
            rec.lazy_mmu = 0
            prev.parked = True
        elif in_section:
            self._push(at, Kind.SWITCH, shape_of(facts))
            rec.switch_in_section()
        elif rec.complete:
            self._close(at)
        facts["next_parked"] = int(next_.parked)
        if not in_section or self.kernel.parks:
            self._occurred(at, UNIT_SWITCH, facts, task=next_)
        self._run_next(at, prev, next_, eager)
        if next_.parked:
            next_.parked = False
            self._push(at, ITEM_RESUME)
            rec.lazy_mmu = 1

    def _begin(self, at: CpuState, arg: int) -> None:
        """An op-level window: the ops follow as events, so the switch itself has no shape to price."""
        prev, next_ = at.current, self._task(at, arg)
        rec = at.rec
        rec.forget_interrupts()
        if rec.in_window:
            self.doubts["unmatched"] += 1
        rec.in_window = rec.after_window = False
        if rec.lazy_mmu:
            rec.switch_in_section()
        elif rec.items is not None:
            self._close(at)
        self._push(at, Kind.BEGIN)
        rec.in_window = True
        self._run_next(at, prev, next_, bool(self._facts(at, prev, next_)["next_eager"]))

    def _run_next(self, at: CpuState, prev: TaskState, next_: TaskState, eager: bool) -> None:
        """What a switch leaves behind: FPU, page tables, current."""
        self.switches += self._counted()
        if prev is next_:
            self.doubts["self_switch"] += 1
        self._unlazy_fpu(prev)
        if eager:
            next_.ts_usedfpu = True
            next_.fpu_counter = (next_.fpu_counter + 1) % 256
        if next_.mm:
            at.use_mm(next_.mm)
        else:
            at.enter_lazy_tlb()
        at.current = next_
        at.started = True

    def _facts(self, at: CpuState, prev: TaskState, next_: TaskState) -> dict[str, int]:
        """Every guard but those of interrupts and parking, before anything changes."""
        user = next_.mm != 0
        same_mm = user and next_.mm == at.active_mm
        old_ldt, new_ldt = self.ldt.get(at.active_mm, 0), self.ldt.get(next_.mm, 0)
        fpu = self.kernel.fpu
        lazy_fpu = fpu.model == "lazy"
        eager = lazy_fpu and next_.fpu_counter > fpu.eager_above
        if fpu.eager_needs_used_math and not next_.used_math:
            eager = False
        facts = {
            "mm_differs": user and not same_mm,
            "ldt_differs": user and not same_mm and old_ldt != new_ldt,
            "lazy_tlb_reload": same_mm and not at.in_mask,
            "prev_kernel": prev.mm == 0,
            "next_kernel": not user,
            "prev_fpu": prev.ts_usedfpu if lazy_fpu else prev.user,
            "next_eager": eager,
            "iopl_differs": prev.iopl != next_.iopl,
            "next_iopl": next_.iopl != 0,
            "prev_ldt": old_ldt != 0,
            "next_ldt": new_ldt != 0,
            "prev_parked": False,
            "next_parked": False,
            "in_irq": False,
        }
        for name in ("gs", "dr", "io_bitmap", "notsc", "blockstep"):
            facts[f"prev_{name}"] = getattr(prev, name)
            facts[f"next_{name}"] = getattr(next_, name)
        numbers = {name: int(value) for name, value in facts.items()}
        numbers["tls"] = sum(a != b for a, b in zip(prev.tls, next_.tls, strict=True))
        return numbers

    def _on(self, at: CpuState, arg: int) -> None:
        task = self._task(at, arg)
        if at.started:
            self.doubts["unmatched"] += 1
        self._found_running(at, task)

    def _found_running(self, at: CpuState, task: TaskState) -> None:
        at.current = task
        at.started = True
        if task.mm:
            at.use_mm(task.mm)
        else:
            at.enter_lazy_tlb()

    # --- a task's life ------------------------------------------------------------

    def _exec(self, at: CpuState, arg: int) -> None:
        if not 0 < arg < MM_MAX:
            raise TraceError(f"exec names mm {arg}")
        task = at.current
        task.mm = arg
        task.user = True
        at.use_mm(arg)
        task.tls = [0, 0, 0]
        task.gs = task.dr = False
        task.ts_usedfpu = task.used_math = False
        if self.kernel.fpu.reset_on_exec:
            task.fpu_counter = 0

    def _fork(self, at: CpuState, arg: int) -> None:
        if arg == 0:
            raise TraceError("fork names task 0, the idle task")
        parent, child = at.current, self._task(at, arg)
        self._unlazy_fpu(parent)
        child.fpu_counter, child.used_math, child.ts_usedfpu = parent.fpu_counter, parent.used_math, False
        child.tls = list(parent.tls)
        child.iopl, child.io_bitmap = parent.iopl, parent.io_bitmap
        child.notsc, child.gs = parent.notsc, parent.gs
        child.blockstep = child.dr = child.parked = False
        child.user = child.mm != 0

    def _exit(self, at: CpuState, arg: int) -> None:
        at.current.mm = 0
        at.current.io_bitmap = at.current.gs = False  # exit_thread(); deactivate_mm() clears the selector
        if self.kernel.fpu.drop_on_exit:
            at.current.user = False
        at.enter_lazy_tlb()

    # --- FPU ----------------------------------------------------------------------

    def _unlazy_fpu(self, task: TaskState) -> None:
        """__unlazy_fpu(): saved when live; otherwise its run of FPU slices has ended."""
        if task.ts_usedfpu:
            task.ts_usedfpu = False
        else:
            task.fpu_counter = 0

    def _fpu(self, at: CpuState, arg: int) -> None:
        task = at.current
        if self.kernel.fpu.model == "lazy" and not task.ts_usedfpu:
            self._occurred(at, UNIT_NM)
            task.ts_usedfpu = task.used_math = True
            task.fpu_counter = (task.fpu_counter + 1) % 256

    def _kernel_fpu(self, at: CpuState, arg: int) -> None:
        at.current.ts_usedfpu = False

    # --- state of a task ----------------------------------------------------------

    def _for(self, at: CpuState, arg: int) -> None:
        at.target = self._task(at, arg)

    def _tls(self, task: TaskState, arg: int, slot: int) -> None:
        if slot > 2:
            raise TraceError(f"TLS slot {slot}")
        task.tls[slot] = arg

    def _ldt(self, task: TaskState, arg: int, flags: int) -> None:
        if task.mm:
            self.ldt[task.mm] = arg
        else:
            self.doubts["unmatched"] += 1

    def _iopl(self, task: TaskState, arg: int, flags: int) -> None:
        if arg > 3:
            raise TraceError(f"iopl has the value {arg}")
        task.iopl = arg

    def _io_bitmap(self, task: TaskState, arg: int, flags: int) -> None:
        task.io_bitmap = _flag(arg)

    def _dr(self, task: TaskState, arg: int, flags: int) -> None:
        task.dr = _flag(arg)

    def _notsc(self, task: TaskState, arg: int, flags: int) -> None:
        task.notsc = _flag(arg)

    def _gs(self, task: TaskState, arg: int, flags: int) -> None:
        task.gs = _flag(arg)

    def _blockstep(self, task: TaskState, arg: int, flags: int) -> None:
        task.blockstep = _flag(arg)

    # --- what happens to a CPU ----------------------------------------------------

    def _flush_ipi(self, at: CpuState, arg: int) -> None:
        if at.tlb == "lazy" and at.in_mask:
            self._occurred(at, UNIT_LEAVE_MM)
            at.in_mask = False

    def _lost(self, at: CpuState, arg: int) -> None:
        self.lost_events += arg
        if arg == 0:
            self.doubts["lost_unknown"] += 1

    def _enter_mmu(self, at: CpuState, arg: int) -> None:
        at.rec.enter_lazy_mmu()
        self._push(at, Kind.ENTER_MMU)

    def _leave_mmu(self, at: CpuState, arg: int) -> None:
        at.rec.lazy_mmu = max(at.rec.lazy_mmu - 1, 0)
        self._push(at, Kind.LEAVE_MMU)

    def _set_pte(self, at: CpuState, arg: int) -> None:
        if arg:
            self._push(at, Kind.SET_PTE, arg)

    def _read_pte(self, at: CpuState, arg: int) -> None:
        self._push_if_open(at, Kind.READ_PTE)

    def _sleep(self, at: CpuState, arg: int) -> None:
        self._push_if_open(at, Kind.SLEEP)

    def _flush(self, at: CpuState, arg: int) -> None:
        self._push(at, Kind.FLUSH)

    def _user(self, at: CpuState, arg: int) -> None:
        self._push_if_open(at, Kind.USER)
        at.rec.forget_interrupts()
        at.rec.after_window = False

    def _enter(self, at: CpuState, kind: int) -> None:
        at.rec.depth[ENTERS[Kind(kind)]] += 1
        self._push(at, kind)

    def _leave(self, at: CpuState, kind: int) -> None:
        name = EXITS[Kind(kind)]
        if at.rec.depth[name]:
            at.rec.depth[name] -= 1
            self._push_if_open(at, kind)
        elif name != "fault":  # a fault that slept was forgotten at the switch
            self.doubts["unmatched"] += 1

    _irq_enter = _nmi_enter = _fault_enter = _enter
    _irq_exit = _nmi_exit = _fault_exit = _leave

    def _op(self, at: CpuState, arg: int) -> None:
        if arg & 0xFFFF >= self.nr_ops:
            raise TraceError(f"op {arg & 0xFFFF} in a trace whose op table has {self.nr_ops} entries")
        self._push(at, Kind.OP, arg)

    def _end(self, at: CpuState, arg: int) -> None:
        self._push_if_open(at, Kind.END)
        if at.rec.in_window:
            at.rec.in_window, at.rec.after_window = False, True
        else:
            self.doubts["unmatched"] += 1

    # --- helpers ------------------------------------------------------------------

    def _cpu(self, number: int) -> CpuState:
        if not 0 <= number < self.nr_cpus:
            raise TraceError(f"CPU {number} in a trace of {self.nr_cpus} CPUs")
        if number not in self.cpus:
            self.cpus[number] = CpuState(number)
            self.highest_cpu = max(self.highest_cpu, number)
        return self.cpus[number]

    def _task(self, at: CpuState, number: int) -> TaskState:
        if number == 0:
            return at.idle
        if not 0 < number <= len(self.tasks):
            raise TraceError(f"task {number} is named, but {len(self.tasks)} tasks are defined")
        return self.tasks[number - 1]

    def _push(self, at: CpuState, kind: int, payload: int = 0) -> None:
        at.rec.push(kind, payload, self.events, self._time_ns, at.current.id)

    def _push_if_open(self, at: CpuState, kind: int) -> None:
        if at.rec.items is not None:
            self._push(at, kind)

    def _close(self, at: CpuState) -> bool:
        rec = at.rec
        items = rec.close()
        if items:
            who = at.current.id
            began = rec.opened_event, rec.opened_time_ns, rec.opened_task
            self._report(Occurrence(UNIT_SEQ, {}, items, at.number, who, *began))
        return bool(items)

    def _occurred(
        self, at: CpuState, unit: int, facts: dict[str, int] | None = None, task: TaskState | None = None
    ) -> None:
        who = (task or at.current).id
        now = self.events, self._time_ns, at.current.id
        self._report(Occurrence(unit, facts or {}, (), at.number, who, *now))

    def _report(self, occurrence: Occurrence) -> None:
        if self._counted():
            self._done.append(occurrence)

    def _counted(self) -> bool:
        return self.window_ns is None or self.window_ns[0] <= self._time_ns < self.window_ns[1]


def _flag(arg: int) -> bool:
    if arg > 1:
        raise TraceError(f"a flag has the value {arg}")
    return arg == 1
