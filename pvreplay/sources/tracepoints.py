"""From format texts to the programs that ``_tracepoint_cy.decode`` runs, one per tracepoint.

A program is a row of numbers: which record it makes and where in the payload
its parts stand.  All offsets and sizes come from the recording's own format
texts; a tracepoint whose format lacks a needed field gets no program and is
reported as a doubt.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import _tracepoint_cy as engine
from pvreplay.sources import records as rec
from pvreplay.sources.formats import Field, Format
from pvreplay.sources.taskstate import state_masks
from pvreplay.sources.tracinghead import TracingHead

GENERIC: Final = 1
SWITCH: Final = 2
SYS_ENTER: Final = 3
SYS_EXIT: Final = 4
PERF_COMM: Final = 5
PERF_TASK: Final = 6
PERF_MMAP: Final = 7
PERF_SWITCH: Final = 8
PERF_LOST: Final = 9
VALUE: Final = 10

NUMBER: Final = 1
SIGNED: Final = 2
COMM: Final = 3
LOCATED: Final = 4
BASENAME: Final = 5

# Places in a program (the engine reads them by number).
HANDLER: Final = 0
TYPE: Final = 1
LEAST: Final = 2
PID: Final = 3
FLAGS: Final = 11

MAX_PROGRAMS: Final = 250

Row = list[int]


class _Missing(Exception):
    """A format without a field its program needs."""


class _Row:
    """A program being made; every field asked for raises the smallest payload."""

    def __init__(self, form: Format, handler: int, type: int) -> None:
        self.form = form
        self.row: Row = [0] * engine.PROGRAM_INTS
        self.row[HANDLER] = handler
        self.row[TYPE] = type
        self.row[PID] = -1
        if "common_pid" in form.fields:
            self.row[PID] = self.number("common_pid", 4).offset

    def field(self, name: str) -> Field:
        found = self.form.fields.get(name)
        if found is None:
            raise _Missing(name)
        self.row[LEAST] = max(self.row[LEAST], found.offset + found.size)
        return found

    def number(self, name: str, least: int = 1) -> Field:
        """A field of 1, 2, 4 or 8 bytes, *least* at least."""
        found = self.field(name)
        if found.size not in (1, 2, 4, 8) or found.size < least:
            raise _Missing(name)
        return found

    def put(self, at: int, name: str) -> None:
        """Offset and size of a number at *at*, *at* + 1."""
        found = self.number(name)
        self.row[at] = found.offset
        self.row[at + 1] = found.size

    def put_comm(self, name: str) -> None:
        """A name as c of a generic program: a char array, or a string behind __data_loc."""
        found = self.field(name)
        self.row[8] = found.offset
        self.row[9] = found.size
        self.row[10] = COMM
        if found.kind:
            if found.size != 4:
                raise _Missing(name)
            self.row[10] = LOCATED
            self.row[13] = 1 if found.kind == "rel_loc" else 0
        elif not found.array:
            raise _Missing(name)


def _generic(form: Format, type: int) -> _Row:
    made = _Row(form, GENERIC, type)
    made.row[4] = made.row[6] = -1
    return made


def _plain(type: int, a: str = "", b: str = "", c: str = "", comm: str = "") -> Callable[[Format], Row]:
    """A builder for an event whose fields go straight to a, b and c; no *a* is the current task."""

    def build(form: Format) -> Row:
        made = _generic(form, type)
        if a:
            made.put(4, a)
        if b:
            made.put(6, b)
        if c:
            made.put(8, c)
            made.row[10] = NUMBER
        elif comm:
            made.put_comm(comm)
        return made.row

    return build


def _switch(form: Format) -> Row:
    made = _Row(form, SWITCH, rec.SWITCH)
    row = made.row
    row[4] = made.number("prev_pid", 4).offset
    row[5] = made.number("next_pid", 4).offset
    prev, following = made.field("prev_comm"), made.field("next_comm")
    if prev.kind or following.kind or prev.size != following.size:
        raise _Missing("prev_comm")
    row[6], row[7], row[8] = prev.offset, following.offset, prev.size
    made.put(9, "prev_state")
    row[12], row[13], row[14] = state_masks(form.print_fmt)
    return row


def _rename(form: Format) -> Row:
    made = _generic(form, rec.RENAME)
    if "pid" in form.fields:
        made.put(4, "pid")
    made.put_comm("newcomm")
    return made.row


def _exec(form: Format) -> Row:
    made = _generic(form, rec.EXEC)
    made.put(4, "pid")
    made.put(6, "old_pid" if "old_pid" in form.fields else "pid")
    if "filename" in form.fields and form.fields["filename"].kind:
        # begin_new_exec() names the task after the last part of the file's path (fs/exec.c).
        made.put_comm("filename")
        made.row[10] = BASENAME
    return made.row


def _fpu(type: int) -> Callable[[Format], Row]:
    return _plain(type, a="xfeatures", b="load_fpu", c="fpu")


def _xen_cr3(form: Format) -> Row:
    made = _generic(form, rec.XEN_CR3)
    made.put(4, "kernel")
    made.row[12] = 1  # the record's a is 0 for the kernel's
    made.put(8, "cr3")
    made.row[10] = NUMBER
    return made.row


def _xen_entry(form: Format) -> Row:
    made = _generic(form, rec.MC_ENTRY)
    made.put(4, "op")
    made.put(6, "nargs")
    args = made.field("args")
    row = made.row
    row[8], row[9], row[10] = args.offset, args.size // 6, NUMBER
    if row[9] not in (4, 8):
        raise _Missing("args")
    return row


def _arguments(form: Format) -> list[Field]:
    """The arguments of a syscalls:sys_enter_X, in order."""
    found = [
        field
        for name, field in form.fields.items()
        if not name.startswith("common_") and name not in ("__syscall_nr", "nr")
    ]
    return sorted(found, key=lambda field: field.offset)


def _enter(form: Format) -> Row:
    made = _Row(form, SYS_ENTER, rec.SYS_ENTER)
    row = made.row
    row[4] = rec.SYSCALL_NAMES[form.name[10:].encode()]
    row[7] = row[8] = row[9] = row[12] = -1
    for place, argument in zip((7, 8, 9, 12), _arguments(form), strict=False):
        if argument.size not in (4, 8):
            break  # events of newer kernels end in the strings the arguments point to
        made.field(argument.name)
        row[place] = argument.offset
        row[10] = argument.size
    return row


def _exit(form: Format) -> Row:
    made = _Row(form, SYS_EXIT, rec.SYS_EXIT)
    made.row[4] = rec.SYSCALL_NAMES[form.name[9:].encode()]
    ret = made.number("ret", 4)
    made.row[7], made.row[10] = ret.offset, ret.size
    return made.row


def _raw_enter(form: Format) -> Row:
    made = _Row(form, SYS_ENTER, rec.RAW_ENTER)
    row = made.row
    row[4] = -1
    made.put(5, "id")
    args = made.field("args")
    size = args.size // 6
    if size not in (4, 8):
        raise _Missing("args")
    row[7], row[8], row[9], row[12] = (args.offset + size * i for i in range(4))
    row[10] = size
    return row


def _raw_exit(form: Format) -> Row:
    made = _Row(form, SYS_EXIT, rec.RAW_EXIT)
    made.row[4] = -1
    made.put(5, "id")
    ret = made.number("ret", 4)
    made.row[7], made.row[10] = ret.offset, ret.size
    return made.row


def _call(type: int, address: str, caller: str = "") -> Callable[[Format], Row]:
    """A builder for a record of a traced function: its address as a and b, the caller's as c."""

    def build(form: Format) -> Row:
        made = _generic(form, type)
        found = made.number(address, 4)
        made.row[4], made.row[5] = found.offset, 4
        if found.size == 8:
            made.row[6], made.row[7] = found.offset + 4, 4
        if caller:
            made.put(8, caller)
            made.row[10] = NUMBER
        return made.row

    return build


BUILDERS: Final[dict[tuple[str, str], Callable[[Format], Row]]] = {
    ("sched", "sched_switch"): _switch,
    ("task", "task_newtask"): _plain(rec.NEWTASK, a="pid", b="clone_flags", comm="comm"),
    ("task", "task_rename"): _rename,
    ("sched", "sched_process_fork"): _plain(rec.FORK, a="child_pid", b="parent_pid", comm="child_comm"),
    ("sched", "sched_process_exec"): _exec,
    ("sched", "sched_process_exit"): _plain(rec.EXIT, a="pid"),
    ("sched", "sched_process_free"): _plain(rec.FREE, a="pid"),
    ("tlb", "tlb_flush"): _plain(rec.TLB_FLUSH, a="reason", b="pages"),
    ("x86_fpu", "x86_fpu_regs_deactivated"): _fpu(rec.FPU_DEACTIVATED),
    ("x86_fpu", "x86_fpu_regs_activated"): _fpu(rec.FPU_ACTIVATED),
    ("xen", "xen_mmu_write_cr3"): _xen_cr3,
    ("xen", "xen_mmu_flush_tlb_multi"): _plain(rec.MM_FLUSHED, a="ncpus"),
    ("xen", "xen_cpu_set_ldt"): _plain(rec.XEN_SET_LDT, a="entries", c="addr"),
    ("xen", "xen_mc_batch"): _plain(rec.MC_BATCH, a="mode"),
    ("xen", "xen_mc_issue"): _plain(rec.MC_ISSUE, a="mode"),
    ("xen", "xen_mc_entry"): _xen_entry,
    ("xen", "xen_mc_entry_alloc"): _plain(rec.MC_ENTRY_ALLOC, a="args"),
    ("xen", "xen_mc_extend_args"): _plain(rec.MC_EXTEND, a="op", b="args", c="res"),
    ("xen", "xen_mc_callback"): _plain(rec.MC_CALLBACK, c="fn"),
    ("xen", "xen_mc_flush"): _plain(rec.MC_FLUSH, a="mcidx", b="argidx", c="cbidx"),
    ("xen", "xen_mc_flush_reason"): _plain(rec.MC_FLUSH_REASON, a="reason"),
    ("raw_syscalls", "sys_enter"): _raw_enter,
    ("raw_syscalls", "sys_exit"): _raw_exit,
    **{("syscalls", f"sys_enter_{name.decode()}"): _enter for name in rec.SYSCALL_NAMES},
    **{("syscalls", f"sys_exit_{name.decode()}"): _exit for name in rec.SYSCALL_NAMES},
}
"""Every tracepoint that is read, by system and name."""

CALL_BUILDERS: Final[dict[tuple[str, str], Callable[[Format], Row]]] = {
    ("ftrace", "function"): _call(rec.FUNCTION, "ip", "parent_ip"),
    ("ftrace", "funcgraph_entry"): _call(rec.CALL, "func"),
    ("ftrace", "funcgraph_exit"): _call(rec.RETURN, "func"),
}
"""Records of the function tracers, which only a check of a recording looks at."""

SYSTEM_OF: Final = {name: system for system, name in BUILDERS}
"""The system of a tracepoint known by name alone (a directory of loose format files)."""


WANTED: Final = {
    system: frozenset(name for other, name in BUILDERS if other == system)
    for system in {s for s, _ in BUILDERS}
}
"""Every tracepoint that is read: system -> names."""

WANTED_WITH_CALLS: Final = {**WANTED, "ftrace": frozenset(name for _, name in CALL_BUILDERS)}
"""The same with the records of the function tracers."""


class Programs:
    """The programs of one recording, numbered from 1, and the table from event ID to number.

    *doubts* gets an entry for a tracepoint whose format is not understood; *known* holds
    "system:name" of those that are; *word_bits* the recorded kernel's long, 0 when no format tells.
    """

    def __init__(self) -> None:
        self.rows = array("q", [0] * engine.PROGRAM_INTS)
        self.slots = bytearray(1 << 16)
        self.numbers = bytes(1 if number in rec.RAW_NUMBERS else 0 for number in range(512))
        self.known: dict[str, int] = {}
        self.doubts: dict[str, int] = {}
        self.word_bits = 0

    def add_row(self, row: Row) -> int:
        """Number a program that belongs to no tracepoint ID."""
        number = len(self.rows) // engine.PROGRAM_INTS
        if number > MAX_PROGRAMS:
            raise TraceError(f"more than {MAX_PROGRAMS} tracepoints of ours", "The format texts are damaged.")
        self.rows.extend(row)
        return number

    def add(self, form: Format) -> None:
        """Make the program of one tracepoint (of none, when it is not read here)."""
        key = form.system, form.name
        build = BUILDERS.get(key) or CALL_BUILDERS.get(key)
        if build is None:
            return
        common = form.fields.get("common_type")
        try:
            if common is None or common.offset != 0 or common.size != 2 or form.id > 0xFFFF:
                raise _Missing("common_type")
            number = self.add_row(build(form))
        except _Missing:
            doubt = f"format_{form.name}"
            self.doubts[doubt] = self.doubts.get(doubt, 0) + 1
            return
        self.slots[form.id] = number
        self.known[f"{form.system}:{form.name}"] = form.id
        for name in ("prev_state", "clone_flags", "pages", "ret"):
            field = form.fields.get(name)
            if field is not None and field.size in (4, 8):
                self.word_bits = field.size * 8

    def add_head(self, head: TracingHead) -> None:
        """Make the programs of every format of a head."""
        for form in head.formats.values():
            self.add(form)
        if head.bad_formats:
            self.doubts["damaged_formats"] = self.doubts.get("damaged_formats", 0) + head.bad_formats


class CommTable:
    """Names seen, numbered from 1 by the compiled decoder.

    :meth:`make_room` before every call of the decoder, :meth:`collect` after it.
    """

    def __init__(self) -> None:
        self.names: list[bytes] = [b""]
        self.keys = array("Q", bytes(16 * 8192))
        self.table = array("I", bytes(4 * 16384))
        self.state = array("q", [1, 0, 0, 0])
        self.memo = array("Q", bytes(8 * 3 * 256))

    def make_room(self, events: int) -> None:
        """Room for two new names in each of *events*; the hash table stays at most half full."""
        need = min(self.state[0] + 2 * events + 1, 0x1000000 + 1)
        if need * 2 <= len(self.keys):
            return
        size = 1 << (need - 1).bit_length()
        self.keys.frombytes(bytes(8 * (size * 2 - len(self.keys))))
        self.table = array("I", bytes(4 * size * 2))
        engine.rehash(self.keys, self.state[0], self.table)

    def collect(self) -> None:
        """Append the names the decoder has added to :attr:`names`."""
        for number in range(len(self.names), self.state[0]):
            pair = self.keys[number * 2 : number * 2 + 2].tobytes()
            self.names.append(pair.rstrip(b"\0"))

    def add(self, names: Iterable[bytes]) -> dict[bytes, int]:
        """Number names that come from elsewhere, cut to the kernel's 15 bytes: name -> number."""
        numbers = {name: number for number, name in enumerate(self.names)}
        for name in names:
            if name not in numbers:
                self.make_room(1)
                number = numbers[name] = self.state[0]
                self.keys[number * 2 : number * 2 + 2] = array("Q", name[:15].ljust(16, b"\0"))
                self.state[0] = number + 1
                self.collect()
        self.table = array("I", bytes(4 * len(self.table)))
        engine.rehash(self.keys, len(self.names), self.table)
        return numbers

    def add_doubts(self, doubts: dict[str, int]) -> None:
        """Move what the decoder counted into *doubts*."""
        for place, name in ((1, "short_payload"), (2, "names_not_kept")):
            if self.state[place]:
                doubts[name] = doubts.get(name, 0) + self.state[place]
                self.state[place] = 0
