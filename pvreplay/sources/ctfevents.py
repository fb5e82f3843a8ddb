"""Events of CTF traces -> what a raw record holds: LTTng's names and perf's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pvreplay.sources import records as r
from pvreplay.sources.textevents import state_class

Payload = Mapping[str, Any]
Fields = tuple[int, int, int, int, int]
"""(type, a, b, c, flags) of a record."""
Intern = Callable[[bytes], int]
Parser = Callable[[str, Payload, Intern], Fields | None]

ANY_CALL: Final = 0
"""In place of a SYS_*: a call ends, and the event does not name it."""


def parse_event(name: str) -> Parser | None:
    """What reads an event of this name (with or without "sched:"); None for one of no use."""
    bare = name.rpartition(":")[2]
    found = _BY_NAME.get(bare)
    if found is not None:
        return found
    for prefix, parser in _BY_PREFIX:
        if bare.startswith(prefix):
            return parser if bare[len(prefix) :].encode() in r.SYSCALL_NAMES else None
    return None


def _pid(fields: Payload, side: str = "") -> int:
    """A thread: LTTng's tid, which perf and the kernel call pid."""
    names = (side + "tid", side + "pid")
    return int(fields[names[0] if names[0] in fields else names[1]])


def _name(fields: Payload, field: str, intern: Intern) -> int:
    text = str(fields[field]).encode("utf-8", "surrogateescape")
    return intern(text.split(b"\0")[0][:15])


def _switch(_event: str, fields: Payload, intern: Intern) -> Fields:
    state = int(fields["prev_state"])
    names = _name(fields, "prev_comm", intern), _name(fields, "next_comm", intern)
    c = r.switch_c(*names, state_class(b"%d" % state) if state >= 0 else r.STATE_BLOCKED)
    return r.SWITCH, _pid(fields, "prev_"), _pid(fields, "next_"), c, 0


def _fork(_event: str, fields: Payload, intern: Intern) -> Fields:
    flags = 0
    if "child_tid" in fields and "child_pid" in fields and "parent_pid" in fields:
        # LTTng's pid is the thread group
        same = int(fields["child_pid"]) == int(fields["parent_pid"])
        flags = r.SAME_GROUP if same else r.OTHER_GROUP
    return r.FORK, _pid(fields, "child_"), _pid(fields, "parent_"), _name(fields, "child_comm", intern), flags


def _newtask(_event: str, fields: Payload, intern: Intern) -> Fields:
    return r.NEWTASK, _pid(fields), int(fields["clone_flags"]), _name(fields, "comm", intern), 0


def _exec(_event: str, fields: Payload, intern: Intern) -> Fields:
    path = str(fields["filename"]).encode("utf-8", "surrogateescape")
    return r.EXEC, _pid(fields), _pid(fields, "old_"), intern(path.rpartition(b"/")[2][:15]), 0


def _exit(_event: str, fields: Payload, _intern: Intern) -> Fields:
    return r.EXIT, _pid(fields), 0, 0, 0


def _free(_event: str, fields: Payload, _intern: Intern) -> Fields:
    return r.FREE, _pid(fields), 0, 0, 0


def _rename(_event: str, fields: Payload, intern: Intern) -> Fields:
    return r.RENAME, _pid(fields), 0, _name(fields, "newcomm", intern), 0


def _statedump(_event: str, fields: Payload, intern: Intern) -> Fields:
    """LTTng's list of the tasks alive at the start; type 1 is a kernel thread."""
    kthread = int(fields["type"]) == 1
    flags = r.IS_KTHREAD if kthread else r.IS_USER
    return r.INFO, int(fields["tid"]), int(fields["pid"]), _name(fields, "name", intern), flags


def _flush(_event: str, fields: Payload, _intern: Intern) -> Fields:
    return r.TLB_FLUSH, int(fields["reason"]), int(fields["pages"]) & 0xFFFFFFFF, 0, 0


def _saved(_event: str, fields: Payload, _intern: Intern) -> Fields:
    load = int(fields["load_fpu"]) if "load_fpu" in fields else 0
    return r.FPU_DEACTIVATED, int(fields["xfeatures"]), load, int(fields["fpu"]), 0


def _restored(_event: str, fields: Payload, _intern: Intern) -> Fields:
    load = int(fields["load_fpu"]) if "load_fpu" in fields else 0
    return r.FPU_ACTIVATED, int(fields["xfeatures"]), load, int(fields["fpu"]), 0


def _numbers(fields: Payload) -> list[int]:
    """A system call's arguments: its numbers in their order."""
    return [
        int(value)
        for field, value in fields.items()
        if not field.startswith(("common_", "perf_", "__syscall")) and field != "nr" and _is_number(value)
    ]


def _is_number(value: Any) -> bool:
    try:
        int(value)
    except (TypeError, ValueError):
        return False
    return True


def _entry(event: str, fields: Payload, _intern: Intern) -> Fields:
    call = r.SYSCALL_NAMES[event.rpartition("_entry_" if "_entry_" in event else "_enter_")[2].encode()]
    numbers = [number & 0xFFFFFFFFFFFFFFFF for number in _numbers(fields)] + [0, 0, 0, 0]
    c, flags = r.syscall_c(*numbers[1:4])
    return r.SYS_ENTER, call, numbers[0], c, flags


def _old_entry(event: str, fields: Payload, intern: Intern) -> Fields:
    """LTTng up to 2.4: sys_NAME."""
    return _entry("sys_enter_" + event.partition("sys_")[2], fields, intern)


def _any_exit(_event: str, fields: Payload, _intern: Intern) -> Fields:
    """LTTng up to 2.4: exit_syscall, of the call the thread is in."""
    return r.SYS_EXIT, ANY_CALL, 0, int(fields["ret"]), 0


def _leave(event: str, fields: Payload, _intern: Intern) -> Fields:
    call = r.SYSCALL_NAMES[event.rpartition("_exit_")[2].encode()]
    return r.SYS_EXIT, call, 0, int(fields["ret"]), 0


_BY_NAME: Final[dict[str, Parser]] = {
    "sched_switch": _switch,
    "sched_process_fork": _fork,
    "sched_process_exec": _exec,
    "sched_process_exit": _exit,
    "sched_process_free": _free,
    "task_newtask": _newtask,
    "task_rename": _rename,
    "lttng_statedump_process_state": _statedump,
    "tlb_flush": _flush,
    "x86_fpu_regs_deactivated": _saved,
    "x86_fpu_regs_activated": _restored,
    "exit_syscall": _any_exit,
}
_BY_PREFIX: Final[tuple[tuple[str, Parser], ...]] = (
    ("compat_syscall_entry_", _entry),
    ("syscall_entry_", _entry),
    ("sys_enter_", _entry),
    ("compat_syscall_exit_", _leave),
    ("syscall_exit_", _leave),
    ("sys_exit_", _leave),
    ("compat_sys_", _old_entry),
    ("sys_", _old_entry),
)
