"""One event as text, after its line's prefix was taken off -> raw records.

Written to be plainly right, not fast: ``_text_cy.py`` takes the common lines, and a test holds the
two together.  Names of tasks are the only free text: they hold up to 15 bytes of anything, so every
pattern is anchored at what stands around them, never at what they look like.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pvreplay.sources import records as r

Fields = tuple[int, int, int, int, int]
"""(type, a, b, c, flags) of a record."""

_NUM: Final = rb"(?:0x[0-9a-f]+ )?\(?(-?\d+)\)?"
"""A number; the `fields` option prints it as `0x4a26 (18982)`, and a bool as `(1)`."""

_SWITCHES: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # the kernel's own text, with the `fields` option, and `trace-cmd report -R` without ==>
        rb"prev_comm=(.{0,15}?) prev_pid=@ prev_prio=@ prev_state=(\S+(?: \(\d+\))?)(?: ==>)? "
        rb"next_comm=(.*) next_pid=@ next_prio=@\s*$".replace(b"@", _NUM),
        # longer names than a kernel has
        rb"prev_comm=(.*) prev_pid=@ prev_prio=@ prev_state=(\S+(?: \(\d+\))?)(?: ==>)? "
        rb"next_comm=(.*) next_pid=@ next_prio=@\s*$".replace(b"@", _NUM),
        # trace-cmd's plugin
        rb"(.{0,15}?):(\d+) \[(-?\d+)\] (\S+) ==> (.{0,15}):(\d+) \[(-?\d+)\]\s*$",
        # 2.6.2x
        rb"task (.{0,15}?):(\d+) \[(-?\d+)\] \((\S+)\) ==> (.{0,15}):(\d+) \[(-?\d+)\]\s*$",
    )
)
_OLD_TRACER: Final = re.compile(
    rb"(\d+):\s*(-?\d+):(\S+)\s+==>\s+(?:\[\d+\]\s*)?(\d+):\s*(-?\d+):(\S+)\s*(.*)$"
)
_FORK: Final = re.compile(
    rb"(?:parent_)?comm=.* (?:parent_)?pid=@ child_comm=(.*) child_pid=@\s*$".replace(b"@", _NUM), re.DOTALL
)
_FORK_PLUGIN: Final = re.compile(rb"(?:task|parent)?\s*.*:(\d+)\s+child (.*):(\d+)\s*$", re.DOTALL)
_EXEC: Final = re.compile(rb"pid=@ old_pid=@\s*$".replace(b"@", _NUM))
_EXIT: Final = re.compile(rb" pid=@ prio=@(?: group_dead=\S+)?\s*$".replace(b"@", _NUM))
_NEWTASK: Final = re.compile(
    rb"pid=@ comm=(.*) clone_flags=(?:0x)?([0-9a-f]+)(?: \(\d+\))? oom_score_adj=".replace(b"@", _NUM),
    re.DOTALL,
)
_RENAME: Final = re.compile(
    rb"(?:pid=@ )?oldcomm=.{0,15}? newcomm=(.*) oom_score_adj=".replace(b"@", _NUM), re.DOTALL
)
_TLB: Final = re.compile(rb"pages[:=](-?\d+) reason[:=].*\((\d+)\)\s*$")
_TLB_FIELDS: Final = re.compile(rb"reason=@ pages=@\s*$".replace(b"@", _NUM))
_FPU: Final = re.compile(rb"x86/fpu: (?:0x)?([0-9a-f]+) (?:load|initialized): (\d+) xfeatures: ([0-9a-f]+)")
_FPU_FIELDS: Final = re.compile(
    rb"fpu=(?:0x)?([0-9a-f]+)(?: \(-?\d+\))? load_fpu=@ xfeatures=(?:0x)?([0-9a-f]+)".replace(b"@", _NUM)
)
_CR3: Final = re.compile(rb"(kernel|user) cr3 ([0-9a-f]+)\s*$")
_CR3_FIELDS: Final = re.compile(rb"kernel=@ cr3=(?:0x)?([0-9a-f]+)".replace(b"@", _NUM))
_LDT: Final = re.compile(rb"addr (?:0x)?([0-9a-f]+), entries (\d+)")
_RAW: Final = re.compile(rb"NR (\d+) \((.*)\)\s*$")
_RAW_FIELDS: Final = re.compile(rb"id=@ args=ARRAY\[(.*)\]\s*$".replace(b"@", _NUM))
_RAW_EXIT: Final = re.compile(rb"(?:NR |id=)@(?: =| ret=)\s*@\s*$".replace(b"@", _NUM))
_ENTER_FIELDS: Final = re.compile(rb"(\w+)=(0x[0-9a-f]+|-?\d+)")
_LOST: Final = re.compile(rb"lost (\d+)")
_LAZY: Final = re.compile(rb"start batch LAZY_(NONE|MMU|CPU)")
_ENTRY: Final = re.compile(rb"op (\d+)\(\w+\) args \[(.*)\]")
_NUMBERS: Final = re.compile(rb"\d+")

_LAZY_MODES: Final = {b"NONE": 0, b"MMU": 1, b"CPU": 2}
_EXTEND_RESULTS: Final = {b"OK": 0, b"BAD_OP": 1, b"NO_SPACE": 2}


def state_class(state: bytes) -> int:
    """STATE_* of a prev_state as it is printed.

    Numbers: EXIT_ZOMBIE and EXIT_DEAD are 16 and 32 in every kernel.  TASK_STATE_MAX, "preempted",
    moved from 256 to 1024, 2048 and 4096.
    """
    if state[:1].isdigit():
        number = int(state.split()[0], 0) if state.startswith(b"0x") else int(state.split()[0])
        if number == 0:
            return r.STATE_RUNNABLE
        if number & 0x30:
            return r.STATE_DEAD
        if number == 64:
            return r.STATE_PARKED_OR_DEAD
        return r.STATE_PREEMPTED if number in (256, 1024, 2048, 4096) else r.STATE_BLOCKED
    if b"+" in state:
        return r.STATE_PREEMPTED
    if state.startswith(b"R"):
        return r.STATE_RUNNABLE
    if state.startswith(b"x"):
        return r.STATE_PARKED_OR_DEAD
    return r.STATE_DEAD if state[:1] in (b"Z", b"X") else r.STATE_BLOCKED


class EventParser:
    """Payloads to record fields; *intern* numbers the names."""

    def __init__(self, intern: Callable[[bytes], int], evidence: bool = False) -> None:
        self.intern = intern
        self._events: dict[bytes, Callable[[bytes, int], Fields | bool | None]] = {
            b"sched_switch": self._switch,
            b"sched_process_fork": self._fork,
            b"sched_process_exec": self._exec,
            b"sched_process_exit": lambda text, pid: self._exit(text, r.EXIT),
            b"sched_process_free": lambda text, pid: self._exit(text, r.FREE),
            b"task_newtask": self._newtask,
            b"task_rename": self._rename,
            b"tlb_flush": self._tlb_flush,
            b"x86_fpu_regs_deactivated": lambda text, pid: self._fpu(text, r.FPU_DEACTIVATED),
            b"x86_fpu_regs_activated": lambda text, pid: self._fpu(text, r.FPU_ACTIVATED),
            b"xen_mmu_write_cr3": self._cr3,
            b"sys_enter": self._raw_enter,
            b"sys_exit": self._raw_exit,
        }
        if evidence:
            self._events |= {
                b"xen_cpu_set_ldt": self._set_ldt,
                b"xen_mc_batch": lambda text, pid: self._lazy(text, r.MC_BATCH),
                b"xen_mc_issue": lambda text, pid: self._lazy(text, r.MC_ISSUE),
                b"xen_mc_entry": self._mc_entry,
                b"xen_mc_entry_alloc": lambda text, pid: self._mc_numbers(text, r.MC_ENTRY_ALLOC),
                b"xen_mc_extend_args": self._mc_extend,
                b"xen_mc_flush": lambda text, pid: self._mc_numbers(text, r.MC_FLUSH),
            }
        for name in r.SYSCALL_NAMES:
            number = r.SYSCALL_NAMES[name]
            self._events[b"sys_enter_" + name] = _enter_parser(number)
            self._events[b"sys_exit_" + name] = _exit_parser(number)

    @property
    def names(self) -> list[bytes]:
        """Events that give a record."""
        return list(self._events)

    def parse(self, name: bytes, text: bytes, pid: int) -> Fields | bool | None:
        """Fields of the record; False for an event nothing stands for, None when it is malformed."""
        parser = self._events.get(name)
        return False if parser is None else parser(text, pid)

    def parse_unnamed(self, text: bytes, pid: int) -> Fields | bool | None:
        """What stands after a prefix without `name: `: the kernel's form of a system call
        (`sys_iopl(level: 3)`, `sys_iopl -> 0x0`), or a switch of 2.6.2x's sched_switch tracer."""
        name, sign, rest = text.partition(b" -> ")
        if sign and name.startswith(b"sys_"):
            number = r.SYSCALL_NAMES.get(name[4:])
            return (r.SYS_EXIT, number, 0, int(rest, 16), 0) if number else False
        name, sign, rest = text.partition(b"(")
        if sign and name.startswith(b"sys_"):
            number = r.SYSCALL_NAMES.get(name[4:])
            return _enter_parser(number)(rest.rstrip().removesuffix(b")"), pid) if number else False
        if text.startswith(b"PERF_RECORD_LOST "):
            return self._lost(text.partition(b" ")[2], pid)
        found = _OLD_TRACER.match(text)
        if found:
            states = state_class(found[3])
            return r.SWITCH, int(found[1]), int(found[4]), r.switch_c(0, self.intern(found[7]), states), 0
        return False

    def _switch(self, text: bytes, _pid: int) -> Fields | None:
        for pattern in _SWITCHES:
            found = pattern.match(text)
            if found:
                prev, prev_pid, _, state, following, next_pid, _ = found.groups()
                c = r.switch_c(self.intern(prev), self.intern(following), state_class(state))
                return r.SWITCH, int(prev_pid), int(next_pid), c, 0
        return None

    def _fork(self, text: bytes, _pid: int) -> Fields | None:
        found = _FORK.match(text)
        if found:
            return r.FORK, int(found[3]), int(found[1]), self.intern(found[2]), 0
        found = _FORK_PLUGIN.match(text)
        return (r.FORK, int(found[3]), int(found[1]), self.intern(found[2]), 0) if found else None

    def _exec(self, text: bytes, _pid: int) -> Fields | None:
        found = _EXEC.search(text)
        return (r.EXEC, int(found[1]), int(found[2]), 0, 0) if found else None

    def _exit(self, text: bytes, kind: int) -> Fields | None:
        found = _EXIT.search(text)
        return (kind, int(found[1]), 0, 0, 0) if found else None

    def _newtask(self, text: bytes, _pid: int) -> Fields | None:
        found = _NEWTASK.match(text)
        return (r.NEWTASK, int(found[1]), int(found[3], 16), self.intern(found[2]), 0) if found else None

    def _rename(self, text: bytes, pid: int) -> Fields | None:
        found = _RENAME.match(text)
        if not found:
            return None
        return r.RENAME, pid if found[1] is None else int(found[1]), 0, self.intern(found[2]), 0

    def _tlb_flush(self, text: bytes, _pid: int) -> Fields | None:
        found = _TLB.match(text)
        if found:
            return r.TLB_FLUSH, int(found[2]), int(found[1]), 0, 0
        found = _TLB_FIELDS.match(text)
        return (r.TLB_FLUSH, int(found[1]), int(found[2]), 0, 0) if found else None

    def _fpu(self, text: bytes, kind: int) -> Fields | None:
        found = _FPU.match(text) or _FPU_FIELDS.match(text)
        return (kind, int(found[3], 16), int(found[2]), int(found[1], 16), 0) if found else None

    def _cr3(self, text: bytes, _pid: int) -> Fields | None:
        found = _CR3.match(text) or _CR3_FIELDS.match(text)
        return (r.XEN_CR3, int(found[1] in (b"user", b"0")), 0, int(found[2], 16), 0) if found else None

    def _set_ldt(self, text: bytes, _pid: int) -> Fields | None:
        found = _LDT.match(text)
        return (r.XEN_SET_LDT, int(found[2]), 0, int(found[1], 16), 0) if found else None

    def _raw_enter(self, text: bytes, _pid: int) -> Fields | bool | None:
        found = _RAW.match(text) or _RAW_FIELDS.match(text)
        if not found:
            return None
        if int(found[1]) not in r.RAW_NUMBERS:
            return False
        args = [int(arg, 16) for arg in found[2].split(b", ")] + [0] * 4
        if text.startswith(b"id="):  # the bytes of an array of longs
            width = (len(args) - 4) // 6
            args = [
                int.from_bytes(bytes(args[at : at + width]), "little") for at in range(0, 6 * width, width)
            ]
        c, flags = r.syscall_c(*args[1:4])
        return r.RAW_ENTER, int(found[1]), args[0], c, flags

    def _raw_exit(self, text: bytes, _pid: int) -> Fields | bool | None:
        found = _RAW_EXIT.match(text)
        if not found:
            return None
        number = int(found[1])
        return (r.RAW_EXIT, number, 0, int(found[2]), 0) if number in r.RAW_NUMBERS else False

    def _lost(self, text: bytes, _pid: int) -> Fields | None:
        found = _LOST.match(text)
        return (r.LOST, int(found[1]), 0, 0, 0) if found else None

    def _lazy(self, text: bytes, kind: int) -> Fields | None:
        found = _LAZY.match(text)
        return (kind, _LAZY_MODES[found[1]], 0, 0, 0) if found else None

    def _mc_entry(self, text: bytes, _pid: int) -> Fields | None:
        found = _ENTRY.match(text)
        if not found:
            return None
        args = found[2].split(b", ")
        return r.MC_ENTRY, int(found[1]), len(args), int(args[0] or b"0", 16), 0

    def _mc_numbers(self, text: bytes, kind: int) -> Fields | None:
        numbers = [*[int(n) for n in _NUMBERS.findall(text)][:3], 0, 0]
        return (kind, numbers[0], numbers[1], numbers[2], 0) if len(numbers) > 2 else None

    def _mc_extend(self, text: bytes, _pid: int) -> Fields | None:
        numbers = _NUMBERS.findall(text)
        result = _EXTEND_RESULTS.get(text.rsplit(b" ", 1)[-1].strip())
        return (r.MC_EXTEND, int(numbers[0]), int(numbers[1]), result, 0) if result is not None else None


def _enter_parser(number: int) -> Callable[[bytes, int], Fields | None]:
    """`level: 0x0003` or `request: 6, pid: 1f, addr: 388, data: 1`: values in hexadecimal."""

    def parse(text: bytes, _pid: int) -> Fields | None:
        args = []
        fields = _ENTER_FIELDS.findall(text)
        if fields and fields[0][0] in (b"__syscall_nr", b"nr"):  # every field, the number first
            args = [int(value, 0) & 0xFFFFFFFFFFFFFFFF for _, value in fields[1:]]
            text = b""
        for part in text.split(b", "):
            value = part.rpartition(b": ")[2].strip()
            try:
                if value:
                    args.append(int(value, 16))
            except ValueError:
                return None
        args += [0] * 4
        c, flags = r.syscall_c(*args[1:4])
        return r.SYS_ENTER, number, args[0], c, flags

    return parse


def _exit_parser(number: int) -> Callable[[bytes, int], Fields | None]:
    """`0x0`, or `-1` where a tool prints it signed."""

    def parse(text: bytes, _pid: int) -> Fields | None:
        try:
            return r.SYS_EXIT, number, 0, int(text.rpartition(b"=")[2], 0), 0
        except ValueError:
            return None

    return parse
