"""A small CTF trace made in code: metadata (TSDL 1.8) in LTTng's manner, and one stream of a CPU."""

from __future__ import annotations

import struct
from pathlib import Path

METADATA = """/* CTF 1.8 */
typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 32; align = 8; signed = true; } := int32_t;
typealias integer { size = 64; align = 8; signed = true; } := int64_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; } := char_t;
trace { major = 1; minor = 8; byte_order = %(order)s; packet.header := struct { uint32_t magic; }; };
env { tracer_name = "lttng-modules"; kernel_release = "6.1.0"; machine = "x86_64"; };
clock { name = monotonic; freq = 1000000000; offset = 0; };
typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } := time_t;
stream {
    packet.context := struct {
        time_t timestamp_begin; time_t timestamp_end; uint64_t content_size; uint64_t packet_size;
        uint64_t events_discarded; uint32_t cpu_id;
    };
    event.header := struct { uint32_t id; time_t timestamp; };
};
event { name = sched_switch; id = 0; fields := struct {
    char_t prev_comm[16]; int32_t prev_tid; int32_t prev_prio; int64_t prev_state;
    char_t next_comm[16]; int32_t next_tid; int32_t next_prio; }; };
event { name = sched_process_fork; id = 1; fields := struct {
    int32_t parent_tid; int32_t parent_pid; char_t child_comm[16]; int32_t child_tid; int32_t child_pid; }; };
event { name = syscall_entry_iopl; id = 2; fields := struct { uint32_t level; }; };
event { name = syscall_exit_iopl; id = 3; fields := struct { int64_t ret; }; };
event { name = lttng_statedump_process_state; id = 4; fields := struct {
    int32_t tid; int32_t pid; char_t name[16]; int32_t type; }; };
event { name = irq_handler_entry; id = 5; fields := struct { int32_t irq; }; };
event { name = sys_iopl; id = 6; fields := struct { uint32_t level; }; };
event { name = exit_syscall; id = 7; fields := struct { int64_t ret; }; };
"""


class Writer:
    """Writes one trace; every event's values in the order of the metadata."""

    def __init__(self, big_endian: bool = False) -> None:
        self.mark = ">" if big_endian else "<"
        self.order = "be" if big_endian else "le"
        self._events: list[bytes] = []
        self._times: list[int] = []

    def _event(self, number: int, time_ns: int, layout: str, *values: int | bytes) -> None:
        self._times.append(time_ns)
        self._events.append(struct.pack(self.mark + "IQ" + layout, number, time_ns, *values))

    def switch(self, time_ns: int, prev: tuple[bytes, int], state: int, then: tuple[bytes, int]) -> None:
        self._event(0, time_ns, "16siiq16sii", *prev, 20, state, *then, 20)

    def fork(self, time_ns: int, parent: int, group: int, name: bytes, child: int, child_group: int) -> None:
        self._event(1, time_ns, "ii16sii", parent, group, name, child, child_group)

    def iopl(self, time_ns: int, level: int, ret: int) -> None:
        self._event(2, time_ns, "I", level)
        self._event(3, time_ns + 10, "q", ret)

    def old_iopl(self, time_ns: int, level: int, ret: int) -> None:
        """As LTTng up to 2.4 names it."""
        self._event(6, time_ns, "I", level)
        self.any_exit(time_ns + 10, ret)

    def any_exit(self, time_ns: int, ret: int) -> None:
        self._event(7, time_ns, "q", ret)

    def alive(self, time_ns: int, tid: int, group: int, name: bytes, kthread: bool) -> None:
        self._event(4, time_ns, "ii16si", tid, group, name, int(kthread))

    def irq(self, time_ns: int) -> None:
        self._event(5, time_ns, "i", 9)

    def write(self, directory: Path, cpu: int = 0, discarded: int = 0) -> None:
        """The metadata, and the stream of *cpu*; *discarded* events were lost before its second packet."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "metadata").write_text(METADATA % {"order": self.order})
        half = len(self._events) // 2 if discarded else len(self._events)
        packets = [(slice(0, half), 0)] + ([(slice(half, None), discarded)] if discarded else [])
        content = b""
        for part, lost in packets:
            events, times = b"".join(self._events[part]), self._times[part]
            size = 8 * (4 + 44 + len(events))
            head = struct.pack(self.mark + "IQQQQQI", 0xC1FC1FC1, times[0], times[-1], size, size, lost, cpu)
            content += head + events
        (directory / f"channel0_{cpu}").write_bytes(content)
