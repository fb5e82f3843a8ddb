"""Every op the machine can step: what it reads and writes, and what it means.

Names are the kernel's.  An op as written in a kernel file, a trace or an order
is a *token*::

    name[:operand][=value][@via]      loadsegment:gs  write_cr3=mmB  set_pte:a@kmap0

*operand* chooses among resources of one kind (a segment register, a debug
register, an MSR, a PTE's label); *value* names what is written (mm identity,
or 0 for a null selector); *via* names the mapping a queued op's operand lives
in.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from pvreplay.errors import ConfigError
from pvreplay.machine import resources as res

Kind = Literal["op", "mode", "mark"]
"""op: may cost something on a backend.  mode: changes a lazy mode or drains.  mark: an event."""


class Op(NamedTuple):
    """One op.  *reads* and *writes* are masks of :mod:`resources` before the operand is looked at."""

    name: str
    kind: Kind
    reads: int
    writes: int
    operand: str
    """What an operand means: "", segment, debugreg, msr, pte, slots, resource, label."""
    meaning: str


def _mask(names: str) -> int:
    mask = 0
    for name in names.split():
        bit = res.lookup(name)
        assert bit is not None, name
        mask |= bit
    return mask


def _op(name: str, reads: str, writes: str, meaning: str, operand: str = "", kind: Kind = "op") -> Op:
    return Op(name, kind, _mask(reads), _mask(writes), operand, meaning)


def _mode(name: str, meaning: str) -> Op:
    return _op(name, "", "", meaning, kind="mode")


def _mark(name: str, meaning: str, operand: str = "label") -> Op:
    return _op(name, "", "", meaning, operand, "mark")


_TABLE: Final = (
    # --- lazy modes ---------------------------------------------------------------------------
    _mode("enter_lazy_cpu", "lazy CPU mode on"),
    _mode("leave_lazy_cpu", "lazy CPU mode off; what was queued is flushed"),
    _mode("enter_lazy_mmu", "lazy MMU mode on"),
    _mode("leave_lazy_mmu", "lazy MMU mode off; what was queued is flushed"),
    _mode("start_context_switch", "leave and park lazy MMU mode if it is on, then lazy CPU mode on"),
    _mode("end_context_switch", "lazy CPU mode off, then lazy MMU mode on again if next had it parked"),
    _mode("park", "what start_context_switch does to an open lazy MMU section: leave it, keep it in prev"),
    _mode("resume", "what end_context_switch does for a task whose section was parked: enter it again"),
    _mode("flush", "flush the queue, the mode stays on"),
    # --- memory context ---------------------------------------------------------------------
    _op("write_cr3", "", "CR3", "load the page-table base"),
    _op("set_ldt", "", "LDT", "load the LDT register"),
    _op("set_mask", "", "mm_cpumask", "own bit set in the mm's CPU mask", "label"),
    _op("clear_mask", "", "mm_cpumask", "own bit cleared in the mm's CPU mask", "label"),
    _op("flush_tlb_user", "", "TLB", "flush this CPU's TLB, global entries aside"),
    _op("flush_tlb_kernel", "", "TLB", "flush this CPU's TLB, global entries too"),
    _op("flush_tlb_single", "", "TLB", "invalidate one page", "pte"),
    _op("flush_tlb_others", "", "TLB", "flush the TLB of other CPUs"),
    # --- page tables --------------------------------------------------------------------------
    _op("set_pte", "", "", "write a PTE of the current mm (set_pte_at)", "pte"),
    _op("set_pte_other", "", "", "write a PTE of an mm that is not the current one", "pte"),
    _op("set_pmd", "", "", "write a page-middle-directory entry", "pte"),
    _op("set_pud", "", "", "write a page-upper-directory entry", "pte"),
    _op("pte_clear", "", "", "clear a PTE", "pte"),
    _op("ptep_modify_prot_start", "", "", "read a PTE and keep hardware from changing it", "pte"),
    _op("ptep_modify_prot_commit", "", "", "write a PTE back, keeping bits hardware has set", "pte"),
    _op("read_pte", "", "", "read a PTE from memory", "pte"),
    _op("touch", "", "", "access memory through the mapping a PTE makes", "pte"),
    _op("unmap", "", "", "take away a mapping that queued operands may live in", "label"),
    _op("alloc_pte", "", "", "tell the hypervisor of a new page table", "label"),
    _op("release_pte", "", "", "tell the hypervisor that a page is no page table any more", "label"),
    _op("alloc_pmd", "", "", "the same for a table of a higher level", "label"),
    _op("release_pmd", "", "", "the same for a table of a higher level", "label"),
    _op("free", "", "", "free or unpin an object", "label"),
    # --- descriptors and segments ---------------------------------------------------------------
    _op("load_tls", "", "GDT.TLS", "write the three TLS descriptors of the GDT, N of them new", "slots"),
    _op("write_gdt_entry", "", "GDT", "write a GDT entry outside TLS"),
    _op("write_ldt_entry", "", "LDT", "write an LDT entry"),
    _op("write_idt_entry", "", "IDT", "write an IDT entry"),
    _op("load_gdt", "", "GDT", "load the GDT register"),
    _op("load_idt", "", "IDT", "load the IDT register"),
    _op("savesegment", "", "", "save a segment register", "segment"),
    _op("loadsegment", "GDT.TLS LDT", "", "load a segment register: its descriptor is read now", "segment"),
    _op("load_gs_index", "GDT.TLS LDT", "gs", "load the user's gs selector (x86-64)", "label"),
    _op("read_msr", "", "", "read an MSR", "msr"),
    _op("write_msr", "", "", "write an MSR", "msr"),
    # --- the CPU's own state ---------------------------------------------------------------------
    _op("load_sp0", "", "TSS.esp0", "kernel stack of the next task into the TSS"),
    _op("read_cr0", "CR0.TS", "", "read CR0"),
    _op("write_cr0", "", "CR0.TS", "write CR0; in the switch path to set TS"),
    _op("clts", "", "CR0.TS", "clear CR0.TS"),
    _op("read_cr4", "CR4.TSD", "", "read CR4"),
    _op("write_cr4", "", "CR4.TSD", "write CR4; in the switch path to change TSD"),
    _op("set_iopl_mask", "", "EFLAGS.IOPL", "set the I/O privilege level"),
    _op("set_debugreg", "", "", "write a debug register", "debugreg"),
    _op("get_debugreg", "", "", "read a debug register", "debugreg"),
    _op("invalidate_io_bitmap", "", "IO_BITMAP", "make the TSS's I/O bitmap invalid"),
    _op("update_io_bitmap", "", "IO_BITMAP", "install a task's I/O bitmap"),
    _op("restore_eflags", "", "EFLAGS", "reload EFLAGS (IOPL aside)"),
    _op("fpu_save", "CR0.TS FPU", "FPU.owner", "save the FPU registers: faults while TS is set"),
    _op("fpu_restore", "CR0.TS", "FPU FPU.owner", "load the FPU registers: faults while TS is set"),
    _op("set_current", "", "current", "make next the current task"),
    _op("scrub", "", "", "clear residue that has no owner, e.g. the return stack", "resource"),
    _op("shadow_read", "", "", "read a software copy of a resource and keep the value", "resource"),
    _op("shadow_use", "", "", "use the value kept by shadow_read", "resource"),
    # --- events ------------------------------------------------------------------------------------
    _mark("begin", "entry of context_switch()"),
    _mark("end", "the switch is over"),
    _mark("user", "return to user mode"),
    _mark("idle", "the CPU goes idle or halts"),
    _mark("lock", "a page-table lock is taken"),
    _mark("unlock", "the lock that covers the lazy MMU section is dropped"),
    _mark("sleep", "something that may block"),
    _mark("sched_out", "the task is switched out by a path that is not shown"),
    _mark("sched_in", "the task runs again"),
    _mark("irq_enter", "an interrupt begins"),
    _mark("irq_exit", "an interrupt ends"),
    _mark("nmi_enter", "an NMI begins"),
    _mark("nmi_exit", "an NMI ends"),
    _mark("fault_enter", "a fault begins; its operand says what the handler reads"),
    _mark("fault_exit", "a fault ends"),
    _mark("ipi", "a flush IPI is sent or arrives"),
    _mark("flag_en", "the flag the scheduler consults says: lazy MMU mode is on"),
    _mark("flag_dis", "the flag the scheduler consults says: lazy MMU mode is off"),
)

OPS: Final[dict[str, Op]] = {op.name: op for op in _TABLE}

ALIASES: Final[dict[str, tuple[str, str]]] = {
    "enter_cpu": ("enter_lazy_cpu", ""),
    "leave_cpu": ("leave_lazy_cpu", ""),
    "enter_mmu": ("enter_lazy_mmu", ""),
    "leave_mmu": ("leave_lazy_mmu", ""),
    "start_cs": ("start_context_switch", ""),
    "end_cs": ("end_context_switch", ""),
    "flush_lazy_cpu": ("flush", ""),
    "flush_lazy_mmu": ("flush", ""),
    "load_ldt": ("set_ldt", ""),
    "load_esp0": ("load_sp0", ""),
    "save_seg": ("savesegment", ""),
    "set_ts": ("write_cr0", ""),
    "set_iopl": ("set_iopl_mask", ""),
    "write_dr": ("set_debugreg", ""),
    "io_bitmap": ("invalidate_io_bitmap", ""),
    "wrmsr_fsbase": ("write_msr", "fs_base"),
    "wrmsr_gsbase": ("write_msr", "gs_base"),
    "debugctl": ("write_msr", "debugctl"),
    "spec_ctrl": ("write_msr", "spec_ctrl"),
    "eflags": ("restore_eflags", ""),
    "set_pte_at": ("set_pte", ""),
    "alloc_pud": ("alloc_pmd", ""),
    "release_pud": ("release_pmd", ""),
    "unpin": ("free", ""),
    "nmi": ("nmi_enter", ""),
    "fault": ("fault_enter", ""),
    "halt": ("idle", ""),
    "gdtr": ("load_gdt", ""),
}
"""Short names, as orders of ops are written by hand: alias -> (name, operand it implies)."""

SEGMENTS: Final[dict[str, int]] = {name: res.BITS[name] for name in ("ds", "es", "fs", "gs")}
DEBUGREGS: Final[dict[str, int]] = {name[2:]: bit for name, bit in res.BITS.items() if name[:2] == "DR"}
MSRS: Final[dict[str, int]] = {
    "fs_base": res.BITS["fs.base"],
    "gs_base": res.BITS["gs.base"],
    "debugctl": res.BITS["DEBUGCTL"],
    "spec_ctrl": res.BITS["SPEC_CTRL"],
    "sysenter_cs": 0,
    "other": 0,
}
TLS_SLOTS: Final = {"0": 0, "1": 1, "2": 2, "3": 3}
_PTE_READERS: Final = ("read_pte", "touch", "ptep_modify_prot_start")
_PTE_WRITERS: Final = (
    "set_pte",
    "set_pte_other",
    "set_pmd",
    "set_pud",
    "pte_clear",
    "ptep_modify_prot_commit",
    "flush_tlb_single",
)
PARTIAL: Final = ("write_gdt_entry", "write_ldt_entry", "write_idt_entry")
"""They write one entry of what they are said to write."""
NULL_VALUES: Final = ("0", "null")


class Token(NamedTuple):
    """One op with its operand resolved to the resources it really reads and writes."""

    text: str
    op: Op
    operand: str
    value: str
    via: str
    reads: int
    writes: int


_parsed: dict[str, Token] = {}
_PARSED_MAX: Final = 4096


def parse(text: str) -> Token:
    """The op that *text* names.

    Raises :class:`ConfigError` for an unknown op or operand; the message names
    what is allowed.
    """
    token = _parsed.get(text)
    if token is None:
        token = _parse(text)
        if len(_parsed) < _PARSED_MAX:  # tokens may come from a trace
            _parsed[text] = token
    return token


def _parse(text: str) -> Token:
    rest, _, via = text.partition("@")
    rest, _, value = rest.partition("=")
    name, _, operand = rest.partition(":")
    if name in ALIASES:
        name, implied = ALIASES[name]
        operand = operand or implied
    op = OPS.get(name)
    if op is None:
        raise ConfigError(f"{text!r}: no op of that name", _near(name))
    reads, writes = op.reads, op.writes
    if op.operand == "segment":
        bit = _choose(text, operand, SEGMENTS)
        if name == "savesegment":
            reads |= bit
        else:
            writes |= bit
    elif op.operand == "debugreg":
        bit = _choose(text, operand, DEBUGREGS) if operand else res.DR
        reads, writes = (bit, 0) if name == "get_debugreg" else (0, bit)
    elif op.operand == "msr":
        bit = _choose(text, operand, MSRS)
        reads, writes = (bit, 0) if name == "read_msr" else (0, bit)
    elif op.operand == "slots":
        if operand:
            _choose(text, operand, TLS_SLOTS)
    elif op.operand == "pte":
        if name in _PTE_READERS:
            reads |= res.pte(operand) if operand else res.ALL_PTES
        elif name in _PTE_WRITERS and name != "flush_tlb_single":
            writes |= res.pte(operand)
    elif op.operand == "resource":
        bit = _resource(text, operand)
        reads, writes = (0, bit) if name == "scrub" else (reads, writes)
    if value in NULL_VALUES and name in ("loadsegment", "load_gs_index"):
        reads = 0  # a null selector has no descriptor
    elif value == "ldt" and name in ("loadsegment", "load_gs_index"):
        reads = res.LDT
    elif value == "tls" and name in ("loadsegment", "load_gs_index"):
        reads = res.GDT_TLS
    return Token(text, op, operand, value, via, reads, writes)


def _choose(text: str, operand: str, allowed: dict[str, int]) -> int:
    if operand not in allowed:
        raise ConfigError(f"{text!r}: operand {operand!r}", f"Expected one of: {', '.join(allowed)}.")
    return allowed[operand]


def _resource(text: str, operand: str) -> int:
    bit = res.lookup(operand)
    if bit is None:
        raise ConfigError(f"{text!r}: no resource {operand!r}", f"Known: {', '.join(res.NAMES)}.")
    return bit


def _near(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, [*OPS, *ALIASES], n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(OPS)}."
