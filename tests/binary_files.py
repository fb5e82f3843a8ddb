"""Binary recordings built in code, from small typed pieces: perf.data, ring-buffer pages, trace.dat.

Each function makes one structure of its format and returns its bytes; all numbers are little-endian.
Sources: include/uapi/linux/perf_event.h, tools/perf/Documentation/perf.data-file-format.txt,
kernel/trace/ring_buffer.c, trace-cmd.dat.v6(5), trace-cmd.dat.v7(5).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

COMMON = (
    "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
    "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
)
#: sched_switch's print format of 6.1, which says what the bits of prev_state mean.
SWITCH_PRINT = (
    '"%s %d", REC->prev_comm, (REC->prev_state & ((((0x00000000 | 0x00000001 | 0x00000040) + 1) << 1) - 1)) '
    '? __print_flags(REC->prev_state & ((((0x00000000 | 0x00000001 | 0x00000040) + 1) << 1) - 1), "|", '
    '{ 0x00000001, "S" }, { 0x00000002, "D" }, { 0x00000010, "X" }, { 0x00000020, "Z" }) : "R", '
    'REC->prev_state & (((0x00000000 | 0x0000007f | 0x00000040) + 1) << 1) ? "+" : ""'
)
PREEMPTED = 0x100
ZOMBIE = 0x20


def format_text(
    name: str, number: int, fields: Sequence[tuple[str, int, int]], print_fmt: str = '"-"'
) -> str:
    """An events/SYSTEM/NAME/format file; *fields* are (declaration, offset, size)."""
    lines = "".join(
        f"\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:1;\n"
        for declaration, offset, size in fields
    )
    return f"name: {name}\nID: {number}\nformat:\n{COMMON}{lines}\nprint fmt: {print_fmt}\n"


def switch_format(number: int = 319, long: int = 8) -> str:
    """sched_switch of a kernel whose long has 8 or 4 bytes."""
    at = 32 + long
    fields = [("char prev_comm[16]", 8, 16), ("pid_t prev_pid", 24, 4), ("int prev_prio", 28, 4)]
    fields += [("long prev_state", 32, long), ("char next_comm[16]", at, 16), ("pid_t next_pid", at + 16, 4)]
    return format_text("sched_switch", number, [*fields, ("int next_prio", at + 20, 4)], SWITCH_PRINT)


def switch_payload(
    prev: int, following: int, prev_comm: bytes = b"a", next_comm: bytes = b"b", state: int = 1,
    number: int = 319, long: int = 8,
) -> bytes:  # fmt: skip
    """One sched_switch as it stands in a buffer."""
    return struct.pack(
        f"<HBBi16sii{'q' if long == 8 else 'i'}16sii",
        number, 0, 0, prev, prev_comm, prev, 120, state, next_comm, following, 120,
    )  # fmt: skip


NEWTASK_FORMAT = format_text(
    "task_newtask", 132,
    [("pid_t pid", 8, 4), ("char comm[16]", 12, 16), ("unsigned long clone_flags", 32, 8)],
)  # fmt: skip


def newtask_payload(parent: int, child: int, comm: bytes, flags: int) -> bytes:
    """One task_newtask, 64-bit."""
    return struct.pack("<HBBii16s4xq", 132, 0, 0, parent, child, comm, flags)


EXEC_FORMAT = format_text(
    "sched_process_exec",
    310,
    [("__data_loc char[] filename", 8, 4), ("pid_t pid", 12, 4), ("pid_t old_pid", 16, 4)],
)


def exec_payload(pid: int, old_pid: int, filename: bytes) -> bytes:
    """One sched_process_exec: the name stands behind the fixed part."""
    location = 20 | (len(filename) + 1) << 16
    return struct.pack("<HBBiIii", 310, 0, 0, pid, location, pid, old_pid) + filename + b"\0"


def sys_enter_format(name: str, number: int, arguments: int, long: int = 8) -> str:
    """syscalls:sys_enter_NAME with some arguments of a long each."""
    fields = [("int __syscall_nr", 8, 4)]
    first = 16 if long == 8 else 12
    fields += [(f"unsigned long arg{i}", first + long * i, long) for i in range(arguments)]
    return format_text(f"sys_enter_{name}", number, fields)


def sys_payload(number: int, pid: int, nr: int, *values: int, long: int = 8) -> bytes:
    """One sys_enter or sys_exit (the result is its only value)."""
    pad = 4 if long == 8 else 0
    body = b"".join((value & (1 << 8 * long) - 1).to_bytes(long, "little") for value in values)
    return struct.pack("<HBBii", number, 0, 0, pid, nr) + bytes(pad) + body


# --- the head perf's tracing data and trace.dat share -------------------------------------------


def header_page(long: int = 8, size: int = 4096) -> str:
    """events/header_page."""
    return (
        "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
        f"\tfield: local_t commit;\toffset:8;\tsize:{long};\tsigned:1;\n"
        f"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
        f"\tfield: char data;\toffset:{8 + long};\tsize:{size - 8 - long};\tsigned:1;\n"
    )


def initial(version: str, long: int = 8, order: int = 0) -> bytes:
    """Magic, version, byte order, size of a long, size of a page."""
    return b"\x17\x08\x44tracing" + version.encode() + b"\0" + bytes([order, long]) + struct.pack("<I", 4096)


def header_info(long: int = 8) -> bytes:
    """header_page and header_event with their sizes."""
    page = header_page(long).encode()
    return b"header_page\0" + struct.pack("<Q", len(page)) + page + b"header_event\0" + struct.pack("<Q", 0)


def event_formats(systems: dict[str, Sequence[str]]) -> bytes:
    """All formats, system by system."""
    body = struct.pack("<I", len(systems))
    for system, texts in systems.items():
        body += system.encode() + b"\0" + struct.pack("<I", len(texts))
        body += b"".join(struct.pack("<Q", len(text)) + text.encode() for text in texts)
    return body


def ftrace_formats(texts: Sequence[str]) -> bytes:
    """The formats of the tracers' own entries."""
    return struct.pack("<I", len(texts)) + b"".join(
        struct.pack("<Q", len(text)) + text.encode() for text in texts
    )


def tracing_data(systems: dict[str, Sequence[str]], long: int = 8) -> bytes:
    """perf's copy of the head, version 0.6: no ftrace formats, kallsyms, printk formats, names."""
    return (
        initial("0.6", long) + header_info(long) + struct.pack("<I", 0) + event_formats(systems)
        + struct.pack("<II", 0, 0) + struct.pack("<Q", 0)
    )  # fmt: skip


# --- perf.data ------------------------------------------------------------------------------------

IP, TID, TIME, ADDR, READ, CALLCHAIN, ID, CPU, PERIOD, STREAM_ID, RAW = (1 << bit for bit in range(11))
IDENTIFIER = 1 << 16
TRACEPOINT = IP | TID | TIME | CPU | PERIOD | RAW
SAMPLE_ID_ALL = 1 << 18
TASK = 1 << 13


def perf_attr(
    config: int,
    sample_type: int = TRACEPOINT,
    type: int = 2,
    read_format: int = 0,
    flags: int = SAMPLE_ID_ALL | TASK,
) -> bytes:
    """A perf_event_attr of 112 bytes."""
    return struct.pack("<IIQQQQQ", type, 112, config, 1, sample_type, read_format, flags) + bytes(64)


def perf_record(type: int, body: bytes, misc: int = 0) -> bytes:
    """Any record: its header and body."""
    return struct.pack("<IHH", type, misc, 8 + len(body)) + body


def perf_sample(
    payload: bytes, time: int, cpu: int = 0, tid: int = 1, sample_type: int = TRACEPOINT, id: int = 0,
    chain: Sequence[int] = (), read: bytes = b"",
) -> bytes:  # fmt: skip
    """A sample with raw data, laid out by *sample_type*."""
    body = b""
    words = (
        (IDENTIFIER, id), (IP, 0xFFFFFFFF81000000), (TID, tid | tid << 32), (TIME, time), (ADDR, 0), (ID, id),
        (STREAM_ID, id), (CPU, cpu), (PERIOD, 1),
    )  # fmt: skip
    for bit, word in words:
        if sample_type & bit:
            body += struct.pack("<Q", word)
    body += read
    if sample_type & CALLCHAIN:
        body += struct.pack(f"<Q{len(chain)}Q", len(chain), *chain)
    padded = payload + bytes(-(len(payload) + 4) % 8)
    return perf_record(9, body + struct.pack("<I", len(padded)) + padded)


def tail(time: int, cpu: int = 0, tid: int = 1, sample_type: int = TRACEPOINT, id: int = 0) -> bytes:
    """What ends a side-band record of an event with sample_id_all."""
    words = ((TID, tid | tid << 32), (TIME, time), (ID, id), (STREAM_ID, id), (CPU, cpu), (IDENTIFIER, id))
    return b"".join(struct.pack("<Q", word) for bit, word in words if sample_type & bit)


def finished_round() -> bytes:
    """PERF_RECORD_FINISHED_ROUND."""
    return perf_record(68, b"")


def perf_file(
    attrs: Sequence[tuple[bytes, Sequence[int]]],
    records: bytes,
    systems: dict[str, Sequence[str]],
    long: int = 8,
) -> bytes:
    """A perf.data as a file: header, ids, attributes, records, and behind them the formats."""
    ids_at, ids = 104, b""
    entries = b""
    for attr, numbers in attrs:
        entries += attr + struct.pack("<QQ", ids_at + len(ids), 8 * len(numbers))
        ids += struct.pack(f"<{len(numbers)}Q", *numbers)
    attrs_at = ids_at + len(ids)
    data_at = attrs_at + len(entries)
    formats = tracing_data(systems, long)
    table_at = data_at + len(records)
    header = b"PERFILE2" + struct.pack(
        "<QQQQQQQQ", 104, 112 + 16, attrs_at, len(entries), data_at, len(records), 0, 0
    )
    header += (1 << 1).to_bytes(32, "little")
    return header + ids + entries + records + struct.pack("<QQ", table_at + 16, len(formats)) + formats


def perf_pipe(
    attrs: Sequence[tuple[bytes, Sequence[int]]],
    records: bytes,
    systems: dict[str, Sequence[str]],
    long: int = 8,
) -> bytes:
    """The same as perf record -o - writes it."""
    head = b"PERFILE2" + struct.pack("<Q", 16)
    for attr, numbers in attrs:
        head += perf_record(64, attr + struct.pack(f"<{len(numbers)}Q", *numbers))
    formats = tracing_data(systems, long)
    formats += bytes(-len(formats) % 8)
    return head + perf_record(66, struct.pack("<I", len(formats))) + formats + records


# --- ring-buffer pages ----------------------------------------------------------------------------


def ring_event(delta: int, payload: bytes) -> bytes:
    """An event *delta* ns after the one before it."""
    padded = payload + bytes(-len(payload) % 4)
    if len(padded) <= 28 * 4:
        return struct.pack("<I", len(padded) // 4 | delta << 5) + padded
    return struct.pack("<II", delta << 5, len(padded) + 4) + padded


def time_extend(delta: int) -> bytes:
    """A delta of more than 27 bits, before an event."""
    return struct.pack("<II", 30 | (delta & 0x7FFFFFF) << 5, delta >> 27)


def absolute_time(time: int) -> bytes:
    """The time itself, of which 59 bits are kept."""
    return struct.pack("<II", 31 | (time & 0x7FFFFFF) << 5, time >> 27 & 0xFFFFFFFF)


def discarded(delta: int, size: int) -> bytes:
    """An event a filter threw away: padding of *size* bytes (with the header)."""
    return struct.pack("<II", 29 | delta << 5, size - 4) + bytes(size - 8)


def ring_page(
    time: int, events: bytes, long: int = 8, missed: int | None = None, count: int = 0, size: int = 4096
) -> bytes:
    """A page; *missed* 0 says events are missing, 1 that *count* says how many."""
    flags = 0 if missed is None else 1 << 31 | missed << 30
    data = events + (count.to_bytes(long, "little") if missed else b"")
    page = struct.pack("<Q", time) + (len(events) | flags).to_bytes(long, "little") + data
    assert len(page) <= size, "more than a page"
    return page + bytes(size - len(page))


# --- trace.dat ------------------------------------------------------------------------------------


def option(number: int, body: bytes) -> bytes:
    """One option."""
    return struct.pack("<HI", number, len(body)) + body


def trace_dat6(
    cpus: Sequence[bytes], systems: dict[str, Sequence[str]], options: bytes = b"",
    instances: dict[str, Sequence[bytes]] | None = None, long: int = 8,
    ftrace: Sequence[str] = (), kallsyms: bytes = b"",
) -> bytes:  # fmt: skip
    """Version 6: head, options, the table of CPUs, pages; then each instance's table and pages."""
    head = (
        initial("6", long) + header_info(long) + ftrace_formats(ftrace) + event_formats(systems)
        + struct.pack("<I", len(kallsyms)) + kallsyms
        + struct.pack("<IQI", 0, 0, len(cpus)) + b"options  \0" + options
    )  # fmt: skip
    names = list(instances or {})
    table = 10 + 16 * len(cpus)
    names_size = sum(6 + 8 + len(name) + 1 for name in names)
    at = -(-(len(head) + names_size + 2 + table) // 4096) * 4096
    parts = [cpus, *(instances or {}).values()]
    tables, places, body = [], [], b""
    for number, pages in enumerate(parts):
        if number:
            places.append(at + len(body))
            start = -(-(at + len(body) + table) // 4096) * 4096
        else:
            start = at
        entry = b"flyrecord\0"
        for page in pages:
            entry += struct.pack("<QQ", start, len(page))
            start += len(page)
        if number:
            body += entry + bytes(-(at + len(body) + len(entry)) % 4096)
        tables.append(entry)
        body += b"".join(pages)
    for name, place in zip(names, places, strict=True):
        head += option(3, struct.pack("<Q", place) + name.encode() + b"\0")
    head += struct.pack("<H", 0) + tables[0]
    return head + bytes(at - len(head)) + body


def section(number: int, body: bytes, packed: bool = False) -> bytes:
    """A section of version 7, zlib-compressed on demand."""
    if packed:
        small = zlib.compress(body)
        body = struct.pack("<II", len(small), len(body)) + small
    return struct.pack("<HHIQ", number, int(packed), 0, len(body)) + body


def packed_pages(pages: bytes, chunk: int = 8192) -> bytes:
    """A CPU's pages in chunks."""
    chunks = [pages[at : at + chunk] for at in range(0, len(pages), chunk)]
    body = struct.pack("<I", len(chunks))
    for plain in chunks:
        small = zlib.compress(plain)
        body += struct.pack("<II", len(small), len(plain)) + small
    return body


def trace_dat7(
    buffers: dict[str, Sequence[bytes]], systems: dict[str, Sequence[str]], packed: bool = False,
    clock: str = "local", options: bytes = b"", long: int = 8, clocks: dict[str, str] | None = None,
    ftrace: Sequence[str] = (), kallsyms: bytes = b"",
) -> bytes:  # fmt: skip
    """Version 7: sections, an options section, each buffer's pages, and last the buffers' options."""
    file = initial("7", long) + (b"zlib\x001.2\0" if packed else b"none\0\0")
    offset_at = len(file)
    file += bytes(8)
    places = {}
    for number, body in (
        *((16, header_info(long)), (17, ftrace_formats(ftrace)), (18, event_formats(systems))),
        (19, struct.pack("<I", len(kallsyms)) + kallsyms),
    ):
        places[number] = len(file)
        file += section(number, body, packed)
    first = len(file)
    body = b"".join(option(number, struct.pack("<Q", at)) for number, at in places.items())
    body += option(4, f"{clock}\0".encode() if "[" in clock else f"[{clock}]\0".encode()) + options
    done_at = len(file) + 16 + len(body) + 6
    file += section(0, body + option(0, bytes(8)))
    entries = b""
    for name, cpus in buffers.items():
        at = len(file)
        start = -(-(at + 16) // 4096) * 4096
        table, data = b"", b""
        for cpu, pages in enumerate(cpus):
            data += bytes(-len(data) % 4096)
            stored = packed_pages(pages) if packed else pages
            # The size of packed data does not count the count of its chunks.
            table += struct.pack("<IQQ", cpu, start + len(data), len(stored) - (4 if packed else 0))
            data += stored
        padding = bytes(start - at - 16)
        file += struct.pack("<HHIQ", 3, int(packed), 0, len(padding) + len(data)) + padding + data
        own = (clocks or {}).get(name, clock)
        entries += option(
            3,
            struct.pack("<Q", at) + name.encode() + b"\0" + own.encode() + b"\0"
            + struct.pack("<II", 4096, len(cpus)) + table,
        )  # fmt: skip
    last = len(file)
    file += section(0, entries + option(0, bytes(8)))
    return (
        file[:offset_at] + struct.pack("<Q", first) + file[offset_at + 8 : done_at] + struct.pack("<Q", last)
        + file[done_at + 8 :]
    )  # fmt: skip
