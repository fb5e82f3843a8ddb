"""xentrace: the Xen hypervisor's own trace, counted.

It holds what came to the hypervisor (hypercalls, faults, instructions to emulate) and how it scheduled
vCPUs.  A guest's tasks are not in it, so it cannot be replayed: a switch shows as its stack_switch
hypercall, without a name on either side.
"""

from __future__ import annotations

import io
import struct
from array import array
from collections.abc import Generator, Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple

from pvreplay.errors import TraceError, UsageError
from pvreplay.sources import _xentrace_cy as engine
from pvreplay.trace.events import Kind, pack
from pvreplay.trace.model import Chunk, Meta

NAME: Final = "xentrace"
EXTENSIONS: Final = (".bin", ".xentrace")
ABOUT: Final = (
    "xentrace's binary: pvreplay info counts its events and hypercalls; without a guest's tasks it cannot "
    "be replayed"
)

BLOCK: Final = 1 << 20
FIRST: Final = (2 << 28 | engine.CPU_CHANGE).to_bytes(4, "little")
"""Every file begins with the CPU of the first records: two words, no cycle counter."""

_SCHED: Final = """
dom_add dom_rem sleep wake yield block shutdown ctl adjdom switch s_timer t_timer dom_timer
switch_infprev switch_infnext shutdown_code switch_infcont
"""
_CALLS: Final = """
set_trap_table mmu_update set_gdt stack_switch set_callbacks fpu_taskswitch sched_op_compat platform_op
set_debugreg get_debugreg update_descriptor 11 memory_op multicall update_va_mapping set_timer_op
event_channel_op_compat xen_version console_io physdev_op_compat grant_table_op vm_assist
update_va_mapping_otherdomain iret vcpu_op set_segment_base mmuext_op xsm_op nmi_op sched_op callback_op
xenoprof_op event_channel_op physdev_op hvm_op sysctl domctl kexec_op tmem_op argo_op xenpmu_op dm_op
hypfs_op
"""
EVENTS: Final = {
    0x1F001: "lost_records",
    0x1F002: "wrap_buffer",
    0x1F003: "cpu_change",
    0x21002: "continue_running",
    **{0x28001 + at: name for at, name in enumerate(_SCHED.split())},
    0x201001: "hypercall",
    0x201003: "trap",
    0x201004: "page_fault",
    0x201005: "forced_invalid_op",
    0x201006: "emulate_privop",
    0x201007: "emulate_4gb",
    0x201008: "math_state_restore",
    0x201009: "paging_fixup",
    0x20100A: "gdt_ldt_mapping_fault",
    0x20100B: "ptwr_emulation",
    0x20100C: "ptwr_emulation_pae",
    engine.HYPERCALL_V2: "hypercall",
    engine.SUBCALL: "hypercall_in_multicall",
}
"""xen/include/public/trace.h; without the bit that says addresses have 64 bits."""
CLASSES: Final = {
    0x001: "general",
    0x002: "sched",
    0x004: "dom0op",
    0x008: "hvm",
    0x010: "mem",
    0x020: "pv",
    0x040: "shadow",
    0x080: "hw",
    0x100: "guest",
}
HYPERCALLS: Final = {
    **dict(enumerate(_CALLS.split())),
    48: "mca",
}
"""xen/include/public/xen.h, __HYPERVISOR_*."""
BY_EVENT: Final = "Records by event"
BY_CALL: Final = "Hypercalls"
IN_MULTICALLS: Final = "Hypercalls inside multicalls"


def sniff(head: bytes) -> bool:
    """Whether these first bytes are a xentrace file's."""
    return head[:4] == FIRST


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> XentraceFile:
    """The file at a path, or a stream of one.  UsageError when it cannot be opened."""
    return XentraceFile(source, path)


def event_name(event: int) -> str:
    """What an event is called; its class and number when it has no name here."""
    name = EVENTS.get(event)
    if name is None and event >> 16 == 0x20:
        name = EVENTS.get(event & ~0x100)
    if name is None and event >> 12 == 0x21 and event & 0xF == 1:
        name = "runstate_change"  # old and new state stand in bits 8-9 and 4-5
    return name or f"{CLASSES.get(event >> 16, 'event')} {event:#x}"


class Record(NamedTuple):
    """One record: the CPU it is of, its event without the bit for 64-bit addresses, its extra words."""

    cpu: int
    event: int
    words: tuple[int, ...]

    @property
    def call(self) -> str:
        """What hypercall it is; "" for another record."""
        if self.event == engine.HYPERCALL_V2 and self.words:
            number = self.words[0] & 0xFFFFF
        elif self.event == engine.HYPERCALL and self.words:
            number = self.words[-1]
        else:
            return ""
        return HYPERCALLS.get(number, f"hypercall {number}")


def read_records(data: bytes) -> Generator[Record, None, int]:
    """The whole records of a file's bytes, in file order; returns where the first that is not whole
    begins (the end, when all are)."""
    at, end, cpu = 0, len(data), 0
    while at + 4 <= end:
        head = int.from_bytes(data[at : at + 4], "little")
        words_at = at + 4 + (8 if head >> 31 else 0)
        after = words_at + 4 * (head >> 28 & 7)
        if after > end:
            break
        words = struct.unpack_from(f"<{head >> 28 & 7}I", data, words_at)
        event = head & 0x0FFFFFFF
        if event == engine.CPU_CHANGE and words:
            cpu = words[0]
        yield Record(cpu, event & ~0x100 if event >> 16 == 0x20 else event, words)
        at = after
    return at


class XentraceFile:
    """A Trace that can be surveyed but not replayed: ``chunks`` raises TraceError with the reason.

    *counts* is title -> name -> how many, complete after ``survey``.
    """

    def __init__(self, source: str | BinaryIO, path: str = "-") -> None:
        if isinstance(source, str):
            path = source
            try:
                source = io.FileIO(source)
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}", "Name a recording.") from None
        self.meta = Meta(path, NAME, clock="TSC (cycles)", origin="Xen hypervisor")
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.counts: dict[str, dict[str, int]] = {}
        self._stream = source

    def survey(self) -> Iterator[Chunk]:
        """Read everything and fill ``counts``; the only event is what was lost."""
        events = array("Q", bytes(16 * engine.EVENTS))
        calls = array("Q", bytes(16 * engine.CALLS))
        state = array("Q", bytes(8 * engine.STATE_INTS))
        buffer = bytearray(BLOCK)
        view = memoryview(buffer)
        left = offset = 0
        while count := self._stream.readinto(view[left:]) or 0:  # type: ignore[attr-defined]
            end = left + count
            at = engine.scan(view, end, events, calls, state)
            left = end - at
            offset += at
            buffer[:left] = buffer[at:end]
        damage = str(getattr(self._stream, "damage", ""))
        if left:
            damage = damage or f"the file ends inside the record at offset {offset:#x}"
        self.damage = damage
        self._count(events, calls, state)
        self.meta.cpus = state[engine.CPUS]
        lost = state[engine.LOST]
        if lost:
            event = pack(state[engine.LAST_CYCLES], 0, Kind.LOST, min(lost, 0xFFFFFFFF))
            yield Chunk(memoryview(array("Q", event)).toreadonly())

    def chunks(self) -> Iterator[Chunk]:
        """Raises TraceError: which tasks are switched is not in the file."""
        for _ in self.survey():
            pass
        switched = self.counts.get(BY_CALL, {}).get("stack_switch", 0)
        seen = f"{switched:,} stack_switch hypercalls" if switched else "no guest's switch"
        raise TraceError(
            f"{self.meta.path}: xentrace shows what came to the hypervisor ({seen}), not which tasks ran",
            "Record sched_switch in the guest for a replay; pvreplay info shows this file's totals, and "
            "pvreplay validate compares them with the model.",
        )
        yield

    def _count(self, events: array[int], calls: array[int], state: array[int]) -> None:
        by_event: dict[str, int] = {}
        rows = sorted((events[2 * at], events[2 * at + 1]) for at in range(engine.EVENTS) if events[2 * at])
        for event, count in rows:
            name = event_name(event - 1)
            by_event[name] = by_event.get(name, 0) + count
        self.counts[BY_EVENT] = by_event
        for title, start in ((BY_CALL, 0), (IN_MULTICALLS, engine.CALLS)):
            found = {
                HYPERCALLS.get(number, str(number)): calls[start + number]
                for number in range(engine.CALLS)
                if calls[start + number]
            }
            if found:
                self.counts[title] = found
        for place, name in (
            (engine.OTHER_EVENTS, "events_not_told_apart"),
            (engine.OTHER_CALLS, "hypercalls_of_unknown_number"),
        ):
            if state[place]:
                self.doubts[name] = state[place]
