"""The state stream: a recording without its evidence, as the raw records that state recovery takes.

What functions tell from outside the switch path is put into the records of the
system calls or events that would have told the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pvreplay.sources import records as r
from pvreplay.sources.abi import i386_call
from pvreplay.validate.births import BirthReader, match_births
from pvreplay.validate.items import Item, Recording
from pvreplay.validate.signs import FLUSHES, STATE_TYPES, XEN_FLUSH, is_state
from pvreplay.validate.told import Told

_SHARED_CLONE: Final = r.CLONE_VM
_REMOTE_SHOOTDOWN: Final = 1
_TO_USER: Final = "exit_to_user_mode_prepare"
_LEAVES: Final = frozenset(
    {"switch_mm", "flush_tlb_func", "flush_tlb_mm_range", "__flush_smp_call_function_queue"}
)
_SYS_IO: Final = frozenset({r.SYS_IOPL, r.SYS_IOPERM})


class _Survey:
    def __init__(self, recording: Recording) -> None:
        self.calls: set[tuple[str, str]] = set()
        self.flush_events = False
        self.types: set[int] = set()
        self.system_calls: set[int] = set()
        for item in recording.items():
            if not is_state(item):
                continue
            if item.type == r.FUNCTION:
                self.calls.add((item.name, item.parent))
            elif item.name == XEN_FLUSH or item.type == r.TLB_FLUSH:
                self.flush_events = True
            else:
                self.types.add(item.type)
                if item.type == r.SYS_ENTER:
                    self.system_calls.add(item.a)

    def first_of(self, *calls: tuple[str, str]) -> tuple[str, str] | None:
        return next((call for call in calls if call in self.calls), None)


class StateStream:
    """A :class:`pvreplay.sources.records.RawSource` of what the prediction may know.

    *told* says what it has a source for.  *abi*: the table that raw system call
    numbers are taken to count in, or "skip".  *io_from_iopl*: IOPL is made of
    the I/O bitmap, which takes level 3 (from 5.5 on).
    """

    def __init__(self, recording: Recording, abi: str = "skip", io_from_iopl: bool = False) -> None:
        self.recording = recording
        self.path = recording.path
        self.format = recording.format
        self.origin = ""
        self.clock = ""
        self.word_bits = 0
        self.enabled: frozenset[str] | None = None
        self.comms = recording.comms
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        survey = _Survey(recording)
        clones = {("save_fpregs_to_fpstate", "fpu_clone"), ("xen_dup_mmap", "dup_mmap")} <= survey.calls
        self._births = (
            match_births(recording, filter(is_state, recording.items()))
            if clones and r.NEWTASK not in survey.types
            else {}
        )
        self._survey = survey
        self.word_bits = recording.word_bits
        raw_calls = r.RAW_ENTER in survey.types
        i386 = recording.word_bits == 32 or abi == "i386"
        raw = raw_calls and (abi != "skip" or i386)
        whole = raw_calls or recording.word_bits == 32  # 32-bit programs have raw events only, on 64 bits
        calls = survey.system_calls if whole else set()
        self._io_from_iopl = io_from_iopl
        self._i386_abi = i386
        self._i386: dict[int, int] = {}
        """pid -> its call under way, when that is an i386 one on a 64-bit kernel."""
        self.compat: set[int] = set()
        """Tasks that have made such a call."""
        self._tls = None
        if not raw_calls and r.SYS_SET_THREAD_AREA not in survey.system_calls:
            self._tls = survey.first_of(
                ("do_set_thread_area", "__ia32_sys_set_thread_area"),
                ("do_set_thread_area", ""),
                ("set_tls_desc", "do_set_thread_area"),
                ("xen_load_tls", "set_tls_desc"),
            )
        io = survey.first_of(
            ("xen_update_io_bitmap", _TO_USER),
            ("native_tss_update_io_bitmap", _TO_USER),
            ("native_tss_update_io_bitmap", ""),
        )
        self._io = None if raw or survey.system_calls & _SYS_IO else io
        self.told = Told(
            births=r.NEWTASK in survey.types or clones,
            execs=r.EXEC in survey.types or ("xen_load_gs_index", "start_thread_common") in survey.calls,
            exits=r.EXIT in survey.types or ("enter_lazy_tlb", "do_exit") in survey.calls,
            io=raw or calls >= _SYS_IO or self._io is not None,
            tls=raw_calls or r.SYS_SET_THREAD_AREA in calls or self._tls is not None,
            ldt=raw or r.SYS_MODIFY_LDT in calls or ("load_mm_ldt", "flush_ldt") in survey.calls,
            notsc=raw or r.SYS_PRCTL in calls,
            blockstep=raw or r.SYS_PTRACE in calls,
            user_returns=("switch_fpu_return", _TO_USER) in survey.calls,
            parentless_io=self._io == ("native_tss_update_io_bitmap", ""),
            i386=i386,
        )
        self._source = self._records()
        self._left: tuple[int, int, int, int] | None = None
        self._current: dict[int, int] = {}
        self._in_io: set[int] = set()
        self._started: dict[int, int] = {}

    # --- as a source -------------------------------------------------------------------------

    def fill(self, words: memoryview, start: int) -> int:
        """As :meth:`RawSource.fill`."""
        at, room = start, len(words) // r.RECORD_WORDS - 8
        while at < room:
            found = next(self._source, None)
            if found is None:
                break
            words[4 * at], words[4 * at + 1], words[4 * at + 2], words[4 * at + 3] = found
            at += 1
        return at

    def _records(self) -> Iterator[tuple[int, int, int, int]]:
        births = BirthReader()
        for item in self.recording.items():
            if not is_state(item):
                continue
            self.offset += 1
            if item.type == r.FUNCTION:
                yield from self._function(item, births)
            elif item.name == XEN_FLUSH or item.type == r.TLB_FLUSH:
                yield _record(item, r.MM_FLUSHED, int(item.name == XEN_FLUSH))
            elif item.type == r.RAW_ENTER and self._foreign(item):
                yield _record(item, r.SYS_ENTER, self._i386[item.pid])
            elif item.type == r.RAW_EXIT and item.pid in self._i386:
                yield _record(item, r.SYS_EXIT, self._i386.pop(item.pid), c=item.c)
            else:
                if item.type == r.SWITCH:
                    item = item._replace(flags=item.flags & r.NO_PREV)
                    self._current[item.cpu] = item.b
                    self._started.pop(item.b, None)
                elif self._io_from_iopl and item.b in (1, 2) and self._is_iopl(item):
                    item = item._replace(b=0)
                yield r.record(
                    item.time_ns, item.cpu, item.type, item.pid, item.a, item.b, item.c, item.flags
                )

    def brief(self) -> Iterator[tuple[int, int, int, int, int]]:
        """The stream once more, in short: (type, pid, a, b, prev_state class)."""
        for item in self.recording.items():
            if item.type == r.FUNCTION and item.parent == _TO_USER and is_state(item):
                yield r.SYS_EXIT, item.pid, 0, 0, 0  # it goes on in user mode
            elif item.type in STATE_TYPES:
                yield item.type, item.pid, item.a, item.b, item.c >> 48 & 0xFF

    def _foreign(self, item: Item) -> bool:
        """Whether a raw call is one of a 32-bit program on a 64-bit kernel, by its arguments."""
        found = 0 if self._i386_abi else i386_call(item.a, item.b, item.c & 0xFFFFFFFF, item.c >> 32)
        if found:
            self._i386[item.pid] = found
            self.compat.add(item.pid)
        return bool(found)

    def _is_iopl(self, item: Item) -> bool:
        if item.type == r.SYS_ENTER:
            return item.a == r.SYS_IOPL
        table = r.NR_I386 if self._i386_abi else r.NR_X86_64
        return item.type == r.RAW_ENTER and table.get(item.a) == r.SYS_IOPL

    # --- what functions tell --------------------------------------------------------------------

    def _function(self, item: Item, births: BirthReader) -> Iterator[tuple[int, int, int, int]]:
        item = item._replace(pid=self._current.get(item.cpu, item.pid))
        call, types = (item.name, item.parent), self._survey.types
        born = births.see(item) if item.name == "xen_dup_mmap" or item.parent == "fpu_clone" else None
        if born:
            if self.told.user_returns:
                yield _record(item, r.FPU_ACTIVATED)  # the parent's registers are loaded to be copied
            child = self._births.get(born.number)
            if child:
                yield _record(item, r.NEWTASK, child[0], _SHARED_CLONE if born.shares else 0, child[1])
        elif call == ("xen_load_gs_index", "start_thread_common"):
            if r.EXEC not in types:
                calls = self._started.get(item.pid, 0)  # FS and GS: two calls an exec
                self._started[item.pid] = calls + 1
                if calls % 2:
                    return
                yield _record(item, r.EXEC, item.pid, item.pid)
        elif call == ("enter_lazy_tlb", "do_exit"):
            if r.EXIT not in types:
                yield _record(item, r.EXIT, item.pid)
        elif call in FLUSHES:
            if not self._survey.flush_events:
                yield _record(item, r.MM_FLUSHED, int(item.name.startswith("xen_")))
        elif item.name == "switch_mm_irqs_off" and item.parent in _LEAVES:
            yield _record(item, r.TLB_FLUSH, _REMOTE_SHOOTDOWN)
        elif item.name == "switch_fpu_return":
            yield _record(item, r.FPU_ACTIVATED)
        elif call == ("save_fpregs_to_fpstate", "kernel_fpu_begin_mask"):
            if self.told.user_returns:
                yield _record(item, r.FPU_ACTIVATED, b=1)
        elif call == self._tls:
            yield from _system_call(item, r.SYS_SET_THREAD_AREA)
        elif call == ("load_mm_ldt", "flush_ldt"):
            if r.SYS_MODIFY_LDT not in self._survey.system_calls:
                yield from _system_call(item, r.SYS_MODIFY_LDT, 1)
        elif self._io is not None and item.name == self._io[0]:
            yield from self._io_bitmap(item)

    def _io_bitmap(self, item: Item) -> Iterator[tuple[int, int, int, int]]:
        """Loaded at a return to user mode: the task has a bitmap, or IOPL 3, which is one since 5.5.

        It is put as IOPL, for an I/O bitmap would end with the exit of the task, and IOPL does not:
        task_update_io_bitmap() tells which of them it was.
        """
        if item.parent == "task_update_io_bitmap":
            self._in_io.discard(item.pid)
            yield from _system_call(item, r.SYS_IOPL, 0)
        elif item.pid not in self._in_io:
            self._in_io.add(item.pid)
            yield from _system_call(item, r.SYS_IOPL, 3)


def _record(
    item: Item, kind: int, a: int = 0, b: int = 0, c: int = 0, flags: int = 0
) -> tuple[int, int, int, int]:
    if kind == r.SYS_ENTER:
        b, c, flags = item.b, item.c, item.flags
    return r.record(item.time_ns, item.cpu, kind, item.pid, a, b, c, flags)


def _system_call(item: Item, number: int, argument: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """The two records of a call that succeeded."""
    yield r.record(item.time_ns, item.cpu, r.SYS_ENTER, item.pid, number, argument)
    yield r.record(item.time_ns, item.cpu, r.SYS_EXIT, item.pid, number)
