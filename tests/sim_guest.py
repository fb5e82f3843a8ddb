"""A small 6.1 x86-64 kernel that only switches tasks, and records itself as ftrace text.

Written from the kernel's sources, not from the model: it keeps what the kernel
keeps (the loaded mm of a CPU with its TLB generation, the GDT's TLS descriptors
under Xen, TIF_* flags, which registers are live), and prints the events and
functions of each step where the kernel has them.  *kinds* are the sources that
the recording was made with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.validate_texts import CR3, DESCRIPTOR, LOAD_SP0, SET_LDT

CLONE_VM, CLONE_VFORK, CLONE_THREAD, CLONE_SETTLS = 0x100, 0x4000, 0x10000, 0x80000
ALL = frozenset(
    ["switch", "xen", "tlb", "fpu", "newtask", "exec", "exit", "rename", "raw", "syscalls", "functions"]
)
SYSCALLS = {"iopl", "ioperm", "modify_ldt", "prctl", "ptrace", "arch_prctl"}
NR64 = {"iopl": 172, "ioperm": 173, "modify_ldt": 154, "prctl": 157, "ptrace": 101, "arch_prctl": 158}
NR32 = {"iopl": 110, "ioperm": 101, "modify_ldt": 123, "prctl": 172, "ptrace": 26, "set_thread_area": 243}
ARGS = {
    "iopl": ("level",),
    "ioperm": ("from", "num", "turn_on"),
    "modify_ldt": ("func", "ptr", "bytecount"),
    "prctl": ("option", "arg2", "arg3", "arg4", "arg5"),
    "ptrace": ("request", "pid", "addr", "data"),
    "arch_prctl": ("option", "arg2"),
}


@dataclass(eq=False)
class Mm:
    """*ldt* 0 for none; *generation* counts flushes."""

    ldt: int = 0
    generation: int = 0
    users: int = 1


@dataclass(eq=False)
class Task:
    """*tls* descriptors, 0 for an empty one; *live*: its registers are on its CPU; no *mm*: a kernel
    thread, or exiting."""

    pid: int
    comm: str
    mm: Mm | None
    kthread: bool = False
    tls: list[int] = field(default_factory=lambda: [0, 0, 0])
    gs: int = 0
    iopl: int = 0
    ports: set[int] = field(default_factory=set)
    notsc: bool = False
    blockstep: bool = False
    live: bool = False
    on: int = -1
    group: int = 0

    @property
    def io(self) -> bool:
        """TIF_IO_BITMAP."""
        return self.iopl == 3 or bool(self.ports)


@dataclass(eq=False)
class Cpu:
    """*loaded* mm and the generation it was loaded with; *gdt* TLS descriptors."""

    number: int
    idle: Task
    current: Task
    loaded: Mm
    generation: int = 0
    lazy: bool = True
    gdt: list[int] = field(default_factory=lambda: [0, 0, 0])


class Guest:
    """*compat*: its programs are 32-bit."""

    def __init__(self, *, kinds: frozenset[str] = ALL, xen: bool = True, compat: bool = False) -> None:
        self.kinds, self.xen, self.compat = kinds, xen, compat
        self.lines = ["# tracer: nop", "#"]
        self.init_mm = Mm()
        self.cpus = []
        for number in range(2):
            idle = Task(0, f"swapper/{number}", None, kthread=True, on=number)
            self.cpus.append(Cpu(number, idle, idle, self.init_mm))
        self.tasks: list[Task] = []
        self._time_us = 1_000_000
        self._pid = 200
        self._ldts = 0
        self.on = True

    # --- writing -------------------------------------------------------------------------------------

    def _line(self, cpu: Cpu, kind: str, *texts: str) -> None:
        task = cpu.current
        for text in texts:
            self._time_us += 1
            if not self.on or kind not in self.kinds:
                continue
            seconds, rest = divmod(self._time_us, 1_000_000)
            comm = task.comm if task.pid else "<idle>"
            self.lines.append(
                f"{comm:>16}-{task.pid:<7} [{cpu.number:03}] d..2.  {seconds}.{rest:06}: {text}"
            )

    def _called(self, cpu: Cpu, name: str, caller: str) -> None:
        self._line(cpu, "functions", f"{name} <-{caller}")

    def bytes(self) -> bytes:
        return ("\n".join(self.lines) + "\n").encode()

    # --- births and deaths ---------------------------------------------------------------------------

    def old(self, comm: str, *, kthread: bool = False, mm: Mm | None = None, pid: int = 0) -> Task:
        """A task older than the recording."""
        self._pid += not pid
        task = Task(pid or self._pid, comm, None if kthread else mm or Mm(), kthread)
        if mm:
            mm.users += 1
        self.tasks.append(task)
        return task

    def clone(self, cpu: Cpu, flags: int = 0, comm: str = "") -> Task:
        """copy_process() by the current task: what copy_thread(), dup_mmap() and ldt_dup_context() do."""
        parent = cpu.current
        assert parent.mm is not None
        self._pid += 1
        if flags & CLONE_VM:
            mm = parent.mm
            mm.users += 1
        else:
            mm = Mm(ldt=self._new_ldt() if parent.mm.ldt else 0)
            self._flush(cpu, parent.mm)
        child = Task(
            self._pid,
            comm or parent.comm,
            mm,
            tls=list(parent.tls),
            gs=parent.gs,
            iopl=parent.iopl,
            ports=set(parent.ports),
            notsc=parent.notsc,
        )
        if flags & CLONE_SETTLS and self.compat:
            child.tls[0] = 0x1000 + child.pid  # do_set_thread_area(p, -1, tls, 0): the child's alone
        parent.group = parent.group or parent.pid
        child.group = parent.group if flags & CLONE_THREAD else child.pid
        self.tasks.append(child)
        self._line(
            cpu,
            "newtask",
            f"task_newtask: pid={child.pid} comm={parent.comm[:15]} clone_flags={flags:x} oom_score_adj=0",
        )
        return child

    def threads_of(self, task: Task) -> list[Task]:
        """The other threads of its group, which an exec would end."""
        return [each for each in self.tasks if each is not task and task.group and each.group == task.group]

    def _new_ldt(self) -> int:
        self._ldts += 1
        return self._ldts

    def exec(self, cpu: Cpu, comm: str) -> None:
        """begin_new_exec(): another mm, no TLS and selectors; what ioperm, iopl and prctl set stays."""
        task = cpu.current
        assert task.mm is not None
        old, task.mm = task.mm, Mm()
        self._load(cpu, task.mm)
        self._put(cpu, old)
        task.tls, task.gs = [0, 0, 0], 0
        task.live = False
        task.comm = comm
        if self.xen:
            for _ in range(2):
                self._called(cpu, "xen_load_gs_index", "start_thread_common")
        self._line(cpu, "exec", f"sched_process_exec: filename=/bin/{comm} pid={task.pid} old_pid={task.pid}")

    def exit(self, cpu: Cpu, following: Task, *, between: Task | None = None) -> None:
        """do_exit(): mm, I/O bitmap, and the last switch; *between* runs after exit_mm()."""
        task = cpu.current
        assert task.mm is not None
        old, task.mm = task.mm, None
        cpu.lazy = True
        self._put(cpu, old)
        if between is not None:
            self.switch(cpu, between, state="D")
            self.switch(cpu, task)
        self._line(cpu, "exit", f"sched_process_exit: comm={task.comm} pid={task.pid} prio=120")
        if between is not None:
            self.switch(cpu, between, state="D")
            self.switch(cpu, task)
        self._set_io(cpu, task, ports=set())  # exit_thread(): iopl stays
        self.tasks.remove(task)
        self.switch(cpu, following, state="Z")

    def _put(self, cpu: Cpu, mm: Mm) -> None:
        """mmput(): the last one lets every CPU that holds it lazily go to init_mm (exit_mmap())."""
        mm.users -= 1
        if mm.users:
            return
        for each in self.cpus:
            if each.loaded is mm and each.lazy:
                self._load(each, self.init_mm, lazy=True)

    def _load(self, cpu: Cpu, mm: Mm, lazy: bool = False) -> None:
        """switch_mm_irqs_off() outside a switch."""
        if self.xen:
            self._line(cpu, "xen", *(line.replace("LAZY_CPU", "LAZY_NONE", 1) for line in CR3))
            if cpu.loaded.ldt or mm.ldt:
                self._line(cpu, "xen", *SET_LDT)
            self._line(cpu, "xen", "xen_mc_flush: flushing 1 hypercalls, 48 arg bytes, 1 callbacks")
        cpu.loaded, cpu.generation, cpu.lazy = mm, mm.generation, lazy

    # --- what system calls do ------------------------------------------------------------------------

    def _call(self, cpu: Cpu, name: str, *args: int, result: int = 0) -> None:
        """Entry and exit of a system call, in user mode before and after it."""
        self.user(cpu)
        numbers = NR32 if self.compat else NR64
        number = NR32[name] if name == "set_thread_area" else numbers[name]
        told = ", ".join(f"{arg:x}" for arg in (*args, 0, 0, 0, 0, 0, 0)[:6])
        named = not self.compat and name in SYSCALLS
        self._line(cpu, "raw", f"sys_enter: NR {number} ({told})")
        if named:
            fields = ", ".join(f"{key}: {arg:x}" for key, arg in zip(ARGS[name], args, strict=False))
            self._line(cpu, "syscalls", f"sys_{name}({fields})")
        if named:
            self._line(cpu, "syscalls", f"sys_{name} -> 0x{result & (1 << 64) - 1:x}")
        self._line(cpu, "raw", f"sys_exit: NR {number} = {result}")

    def set_thread_area(self, cpu: Cpu, descriptor: int, slot: int | None = None) -> None:
        """do_set_thread_area() of the current task, then user mode loads %gs."""
        task = cpu.current
        at = slot if slot is not None else next((n for n in range(3) if not task.tls[n]), 2)
        task.tls[at] = descriptor
        self._call(cpu, "set_thread_area", 0xFFDE0000)
        self._load_tls(cpu, task)
        task.gs = 8 * (12 + at) + 3
        self.user(cpu)

    def modify_ldt(self, cpu: Cpu, result: int = 0) -> None:
        task = cpu.current
        assert task.mm is not None
        self._call(cpu, "modify_ldt", 1, 0xFFDE0000, 16, result=result)
        if not result:
            task.mm.ldt = self._new_ldt()
            if self.xen:
                self._line(
                    cpu, "xen", *SET_LDT, "xen_mc_flush: flushing 1 hypercalls, 24 arg bytes, 0 callbacks"
                )
            self._called(cpu, "load_mm_ldt", "flush_ldt")

    def iopl_call(self, cpu: Cpu, level: int) -> None:
        self._call(cpu, "iopl", level)
        self._set_io(cpu, cpu.current, iopl=level)
        self.user(cpu)

    def _set_io(self, cpu: Cpu, task: Task, iopl: int | None = None, ports: set[int] | None = None) -> None:
        """task_update_io_bitmap(): what is given up is invalidated at once."""
        had = task.io
        task.iopl = task.iopl if iopl is None else iopl
        task.ports = task.ports if ports is None else ports
        if not task.io and (had or iopl is not None):
            name = "xen_update_io_bitmap" if self.xen else "native_tss_update_io_bitmap"
            self._called(cpu, name, "task_update_io_bitmap")

    def ioperm(self, cpu: Cpu, first: int, number: int, on: bool) -> None:
        self._call(cpu, "ioperm", first, number, int(on))
        ports = set(range(first, first + number))
        had = cpu.current.ports
        self._set_io(cpu, cpu.current, ports=had | ports if on else had - ports)
        self.user(cpu)

    def tsc(self, cpu: Cpu, off: bool) -> None:
        self._call(cpu, "prctl", 26, 2 if off else 1)
        cpu.current.notsc = off

    def singleblock(self, cpu: Cpu, tracee: Task) -> None:
        self._call(cpu, "ptrace", 33, tracee.pid)
        tracee.blockstep = True

    def debugreg(self, cpu: Cpu, tracee: Task) -> None:
        self._call(cpu, "ptrace", 6, tracee.pid, 848, 0x1000)
        self._call(cpu, "ptrace", 6, tracee.pid, 904, 0xD0001)

    # --- user mode, and flushes ------------------------------------------------------------------------

    def user(self, cpu: Cpu) -> None:
        """exit_to_user_mode_prepare(): registers and the I/O bitmap are loaded; a block step ends."""
        task = cpu.current
        if task.mm is None:
            return
        if task.io:
            name = "xen_update_io_bitmap" if self.xen else "native_tss_update_io_bitmap"
            self._called(cpu, name, "exit_to_user_mode_prepare")
        if not task.live:
            self._called(cpu, "switch_fpu_return", "exit_to_user_mode_prepare")
            self._line(
                cpu,
                "fpu",
                "x86_fpu_regs_activated: x86/fpu: 00000000a028bede load: 1 xfeatures: 7 xcomp_bv: 0",
            )
            task.live = True
        task.blockstep = False  # exc_debug_user() clears TIF_BLOCKSTEP at the first branch

    def munmap(self, cpu: Cpu) -> None:
        """The current task flushes a range of its mm, on every CPU."""
        assert cpu.current.mm is not None
        self._flush(cpu, cpu.current.mm)

    def _flush(self, cpu: Cpu, mm: Mm) -> None:
        """flush_tlb_mm_range(): the flushing CPU keeps up with the generation.

        Xen flushes without telling the other CPU; natively a lazy CPU is left out.
        """
        mm.generation += 1
        others = [each for each in self.cpus if each is not cpu and each.loaded is mm]
        if others:
            name = "xen_flush_tlb_multi" if self.xen else "native_flush_tlb_multi"
            self._called(cpu, name, "flush_tlb_mm_range")
        if others and self.xen:
            self._line(cpu, "xen", "xen_mmu_flush_tlb_multi: ncpus 1 mm 000000000e910522 addr 0, end 1000")
        elif others:
            self._line(cpu, "tlb", "tlb_flush: pages:1 reason:remote ipi send (4)")
            for each in others:
                if not each.lazy:
                    each.generation = mm.generation
                    self._line(each, "tlb", "tlb_flush: pages:1 reason:remote shootdown (1)")
        if cpu.loaded is mm:
            cpu.generation = mm.generation

    def _load_tls(self, cpu: Cpu, task: Task) -> None:
        """load_TLS() outside a switch."""
        if self.xen and task.tls != cpu.gdt:
            changed = sum(a != b for a, b in zip(task.tls, cpu.gdt, strict=True))
            self._line(cpu, "xen", "xen_mc_batch: start batch LAZY_NONE", *DESCRIPTOR * changed)
            self._line(cpu, "xen", "xen_mc_issue: start batch LAZY_CPU")
            self._line(cpu, "xen", f"xen_mc_flush: flushing {changed} hypercalls, 0 arg bytes, 0 callbacks")
        cpu.gdt = list(task.tls)

    # --- a switch ------------------------------------------------------------------------------------

    def switch(self, cpu: Cpu, following: Task, state: str = "S") -> None:
        """context_switch() and __switch_to()."""
        prev = cpu.current
        assert (prev is not following and following.on < 0) or following is cpu.idle
        self._line(
            cpu,
            "switch",
            f"sched_switch: prev_comm={prev.comm} prev_pid={prev.pid} prev_prio=120 "
            f"prev_state={'R' if prev is cpu.idle else state} ==> next_comm={following.comm} "
            f"next_pid={following.pid} next_prio=120",
        )
        self._called(cpu, "paravirt_start_context_switch", "__schedule")
        entries = size = callbacks = 0
        if following.mm is None:
            self._called(cpu, "enter_lazy_tlb", "__schedule")
            cpu.lazy = True
        else:
            self._called(cpu, "switch_mm_irqs_off", "__schedule")
            differs = cpu.loaded is not following.mm
            if differs or (cpu.lazy and cpu.generation != following.mm.generation):
                self._write_cr3(cpu)
                entries, size, callbacks = 1, 48, 1
            if differs and (cpu.loaded.ldt or following.mm.ldt):
                self._called(cpu, "load_mm_ldt", "switch_mm_irqs_off")
                if self.xen:
                    self._called(cpu, "xen_set_ldt", "load_mm_ldt")
                    self._line(cpu, "xen", *SET_LDT)
                entries, size = entries + 1, size + 24
            if differs or cpu.lazy:
                cpu.generation = following.mm.generation
            cpu.loaded, cpu.lazy = following.mm, False
        if not prev.kthread and prev.live:
            self._called(cpu, "save_fpregs_to_fpstate", "__switch_to")
            self._line(
                cpu,
                "fpu",
                "x86_fpu_regs_deactivated: x86/fpu: 000000004d49f36c load: 0 xfeatures: 7 xcomp_bv: 0",
            )
            prev.live = False
        if self.xen:
            changed = sum(a != b for a, b in zip(following.tls, cpu.gdt, strict=True))
            self._xen_batch(cpu, changed, entries + changed, size, callbacks)
        cpu.gdt = list(following.tls)
        if self.xen and (prev.gs or following.gs):
            self._called(cpu, "xen_load_gs_index", "__switch_to")
        if self.xen:
            self._called(cpu, "xen_write_msr", "__wrgsbase_inactive")
        prev.on, following.on = -1, cpu.number
        cpu.current = following
        if self.xen:
            self._called(cpu, "xen_load_sp0", "__switch_to")
            self._line(cpu, "xen", *LOAD_SP0[:-1])
            self._called(cpu, "xen_mc_flush", "xen_mc_issue")
            self._line(cpu, "xen", LOAD_SP0[-1])
        self._xtra(cpu, prev, following)
        self._called(cpu, "finish_task_switch", "__schedule")

    def _write_cr3(self, cpu: Cpu) -> None:
        self._called(cpu, "load_new_mm_cr3", "switch_mm_irqs_off")
        if self.xen:
            self._called(cpu, "xen_write_cr3", "load_new_mm_cr3")
            self._line(cpu, "xen", *CR3)
        self._line(cpu, "tlb", "tlb_flush: pages:-1 reason:flush on task switch (0)")

    def _xen_batch(self, cpu: Cpu, changed: int, entries: int, size: int, callbacks: int) -> None:
        self._called(cpu, "xen_read_msr", "__rdgsbase_inactive")
        self._called(cpu, "xen_load_tls", "__switch_to")
        self._line(cpu, "xen", "xen_mc_batch: start batch LAZY_CPU")
        self._line(cpu, "xen", *DESCRIPTOR * changed, "xen_mc_issue: start batch LAZY_CPU")
        self._called(cpu, "xen_end_context_switch", "__switch_to")
        self._called(cpu, "xen_mc_flush", "xen_end_context_switch")
        self._line(
            cpu,
            "xen",
            f"xen_mc_flush: flushing {entries} hypercalls, {size} arg bytes, {callbacks} callbacks",
        )
        self._called(cpu, "paravirt_end_context_switch", "__switch_to")

    def _xtra(self, cpu: Cpu, prev: Task, following: Task) -> None:
        """switch_to_extra(): _TIF_WORK_CTXSW_PREV and _NEXT, without conditional IBPB."""
        if not (prev.io or prev.notsc or prev.blockstep or following.notsc or following.blockstep):
            return
        self._called(cpu, "__switch_to_xtra", "__switch_to")
        if self.xen and prev.io:
            self._called(cpu, "xen_invalidate_io_bitmap", "__switch_to_xtra")
        if self.xen and (prev.blockstep or following.blockstep):
            self._called(cpu, "xen_read_msr", "__switch_to_xtra")
            self._called(cpu, "xen_write_msr", "__switch_to_xtra")
        if self.xen and prev.notsc != following.notsc:
            self._called(cpu, "xen_write_cr4", "__switch_to_xtra")
