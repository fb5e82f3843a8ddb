"""pv ops from a trace.dat: the same as from the text of the same records."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest

from pvreplay.errors import UsageError
from pvreplay.sources.detect import open_trace
from pvreplay.sources.kallsyms import Names
from pvreplay.sources.opstream import OpTrace
from pvreplay.sources.symbols import symbols
from pvreplay.trace.events import Kind, unpack
from pvreplay.trace.model import Trace
from tests import binary_files as b

RECORDED = Path(__file__).parent / "data" / "sources-xen-ops.function.txt"
LINE = re.compile(rb"-(\d+) +\[(\d+)\] \S+ +(\d+)\.(\d{6}): (.*)$")
CALL = re.compile(rb"([\w.]+) <-([\w.]+)")
SWITCH = re.compile(
    rb"sched_switch: prev_comm=(.*) prev_pid=(\d+) .* prev_state=(\S+) ==> next_comm=(.*) next_pid=(\d+)"
)
EVENT = re.compile(rb"(\w+): (.*)")
MODES = {b"LAZY_NONE": 0, b"LAZY_MMU": 1, b"LAZY_CPU": 2}
FTRACE = [
    b.format_text("function", 1, [("unsigned long ip", 8, 8), ("unsigned long parent_ip", 16, 8)]),
    b.format_text("funcgraph_entry", 11, [("unsigned long func", 8, 8), ("int depth", 16, 4)]),
    b.format_text("funcgraph_exit", 10, [("unsigned long func", 8, 8), ("int depth", 16, 4)]),
]


class Kernel:
    """Addresses for names, numbers for events."""

    def __init__(self) -> None:
        self.addresses: dict[bytes, int] = {}
        self.events: dict[bytes, int] = {}

    def address(self, name: bytes) -> int:
        """Somewhere inside a function."""
        start = self.addresses.setdefault(name, 0xFFFFFFFF81000000 + 64 * len(self.addresses))
        return start + len(name)

    def kallsyms(self) -> bytes:
        """Its symbols, not in order; one more name stands at each address, in a module."""
        lines = [
            b"%016x t %s\n%016x d also_%s [mod]\n" % (at, name, at, name)
            for name, at in self.addresses.items()
        ]
        return b"".join(reversed(lines[1::2])) + b"".join(lines[::2])

    def formats(self) -> dict[str, list[str]]:
        """The formats of the events met."""
        xen = [
            b.format_text(
                name.decode(), number,
                [("unsigned mode", 8, 4), ("unsigned op", 12, 4), ("unsigned level", 16, 4),
                 ("unsigned reason", 20, 4), ("bool kernel", 24, 1), ("bool pinned", 25, 1)]
                + ([("pte_t * ptep", 32, 8)] if b"pte" in name else []),
            )
            for name, number in self.events.items()
        ]  # fmt: skip
        return {"sched": [b.switch_format()], "xen": xen}

    def event(self, name: bytes, text: bytes, pid: int) -> bytes:
        """The payload of a tracepoint by its text."""
        number = self.events.setdefault(name, 400 + len(self.events))

        def found(pattern: bytes, base: int = 10) -> int:
            match = re.search(pattern, text)
            return int(match[1], base) if match else 0

        mode = next((value for word, value in MODES.items() if word in text), 0)
        return struct.pack(
            "<HHiIIIIBBxxxxxxQ",
            *(number, 0, pid, mode, found(rb"^op (\d+)"), found(rb"level (\d)"), found(rb"\((\d)\)$")),
            *(text.startswith(b"kernel"), b" pinned" in text, found(rb"ptep ([0-9a-f]+)", 16)),
        )


def paged(events: Iterable[tuple[int, int, bytes]], cpus: int) -> list[bytes]:
    """(CPU, time in ns, payload) as the pages of each CPU."""
    pages = [b""] * cpus
    parts: list[list[tuple[int, bytes]]] = [[] for _ in range(cpus)]
    for cpu, time, payload in events:
        parts[cpu].append((time, payload))
    for cpu, part in enumerate(parts):
        for at in range(0, len(part), 30):
            begin = time = part[at][0]
            body = b""
            for when, payload in part[at : at + 30]:
                body += b.time_extend(when - time) + b.ring_event(0, payload)
                time = when
            pages[cpu] += b.ring_page(begin, body)
    return pages


def told(trace: Trace) -> list[tuple[int, int, int, int | str]]:
    """(time, CPU, kind, argument) of every event; a task by name and pid, an op by name."""
    tasks = {0: "idle"}
    events: list[tuple[int, int, int, int | str]] = []
    for chunk in trace.chunks():
        tasks.update({task.id: f"{task.comm}-{task.pid}" for task in chunk.tasks})
        for at in range(0, len(chunk.events), 2):
            time, cpu, kind, arg, _ = unpack(chunk.events[at], chunk.events[at + 1])
            named = (
                tasks[arg]
                if kind in (Kind.BEGIN, Kind.ON)
                else trace.meta.ops[arg]
                if kind == Kind.OP
                else arg
            )
            events.append((time, cpu, int(kind), named))
    return events


def recorded() -> tuple[Kernel, list[bytes], bytes]:
    """A real function trace with Xen's tracepoints: kernel, pages, and its text."""
    kernel, events, kept = Kernel(), [], [b"# tracer: function\n"]
    for line in RECORDED.read_bytes().splitlines(keepends=True):
        found = LINE.search(line.rstrip(b"\n"))
        if found is None:
            continue
        pid, cpu, time = int(found[1]), int(found[2]), int(found[3]) * 10**9 + int(found[4]) * 1000
        call, switch, event = CALL.match(found[5]), SWITCH.match(found[5]), EVENT.match(found[5])
        if call:
            payload = struct.pack("<HHiQQ", 1, 0, pid, kernel.address(call[1]), kernel.address(call[2]))
        elif switch:
            state = {b"R": 0, b"R+": b.PREEMPTED, b"S": 1, b"X": 16}.get(switch[3], 2)
            payload = b.switch_payload(int(switch[2]), int(switch[5]), switch[1], switch[4], state)
        elif event and symbols().knows_event(event[1]):
            payload = kernel.event(event[1], event[2], pid)
        else:
            continue
        events.append((cpu, time, payload))
        kept.append(line)
    return kernel, paged(events, 2), b"".join(kept)


@pytest.mark.parametrize("form", ["6", "7", "7 packed"])
def test_a_function_trace_gives_the_ops_of_its_text(form: str, tmp_path: Path) -> None:
    kernel, pages, text = recorded()
    more = {"ftrace": FTRACE, "kallsyms": kernel.kallsyms()}
    if form == "6":
        data = b.trace_dat6(pages, kernel.formats(), **more)  # type: ignore[arg-type]
    else:
        data = b.trace_dat7({"": pages}, kernel.formats(), form == "7 packed", **more)  # type: ignore[arg-type]
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    trace = open_trace(str(path), level="op")
    expected = OpTrace(io.BytesIO(text))
    found, wanted = told(trace), told(expected)
    assert len(found) > 100
    for cpu in (0, 1):
        assert [event for event in found if event[1] == cpu] == [event for event in wanted if event[1] == cpu]
    assert (trace.meta.level, trace.meta.format, trace.damage) == ("op", "trace.dat, as pv ops", "")
    assert (trace.doubts, trace.meta.state) == (expected.doubts, expected.meta.state)


def test_a_cut_function_trace_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    kernel, pages, _ = recorded()
    data = b.trace_dat6(pages, kernel.formats(), ftrace=FTRACE, kallsyms=kernel.kallsyms())
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    whole = told(open_trace(str(path), level="op"))
    path.write_bytes(data[:-5000])
    trace = open_trace(str(path), level="op")
    assert 0 < len(told(trace)) < len(whole)
    assert "the file is cut: CPU 1 has" in trace.damage


def test_a_function_graph_gives_the_ops_of_its_text(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.address(b"__irqentry_text_start")
    kernel.address(b"sysvec_apic_timer_interrupt")
    kernel.address(b"__irqentry_text_end")
    steps: list[tuple[int, str, bytes]] = [
        (10, "in", b"schedule"),
        (10, "in", b"paravirt_start_context_switch"),
        (10, "out", b"paravirt_start_context_switch"),
        (10, "switch", b"S"),
        (10, "in", b"xen_load_tls"),
        (10, "out", b"xen_load_tls"),
        (10, "in", b"xen_end_context_switch"),
        (10, "out", b"xen_end_context_switch"),
        (11, "in", b"xen_load_sp0"),
        (11, "out", b"xen_load_sp0"),
        (11, "in", b"sysvec_apic_timer_interrupt"),
        (11, "in", b"xen_set_pte"),
        (11, "out", b"xen_set_pte"),
        (11, "out", b"sysvec_apic_timer_interrupt"),
    ]
    events, text, depth, before = [], b"# tracer: function_graph\n", 0, 10
    for number, (pid, what, name) in enumerate(steps):
        time = 10**9 + 1000 * number
        head = b"1.%09d | 0) " % (1000 * number)
        if pid != before:
            text += b" 0) <...>-%d => <...>-%d\n" % (before, pid)
            before, depth = pid, 0
        if what == "switch":
            events.append((0, time, b.switch_payload(10, 11, b"one", b"two")))
            text += head + (
                b"| /* sched_switch: prev_comm=one prev_pid=10 prev_prio=120 prev_state=S ==> "
                b"next_comm=two next_pid=11 next_prio=120 */\n"
            )
            continue
        interrupt = name.startswith(b"sysvec")
        if what == "in":
            number_of, shown = 11, name + b"() {"
            text += head + b"==========> |\n" if interrupt else b""
        else:
            depth -= 1
            number_of, shown = 10, b"}"
            text += head + b"<========== |\n" if interrupt else b""
        start = kernel.address(name) - len(name)
        events.append((0, time, struct.pack("<HHiQi", number_of, 0, pid, start, depth)))
        text += head + b"| " + shown + b"\n"
        depth += what == "in"
    path = tmp_path / "a.dat"
    path.write_bytes(
        b.trace_dat6(paged(events, 1), kernel.formats(), ftrace=FTRACE, kallsyms=kernel.kallsyms())
    )
    found = told(open_trace(str(path), level="op"))
    assert found == told(OpTrace(io.BytesIO(text), graph=True))
    kinds = [Kind(kind) for _, _, kind, _ in found]
    assert {Kind.BEGIN, Kind.OP, Kind.IRQ_ENTER, Kind.IRQ_EXIT} <= set(kinds)


def test_a_trace_dat_of_switches_alone_shows_no_ops(tmp_path: Path) -> None:
    pages = paged([(0, 1000, b.switch_payload(1, 2))], 1)
    path = tmp_path / "a.dat"
    path.write_bytes(b.trace_dat6(pages, {"sched": [b.switch_format()]}, ftrace=FTRACE))
    with pytest.raises(UsageError, match=r"trace\.dat holds no pv ops"):
        open_trace(str(path), level="op")


def test_losses_are_told(tmp_path: Path) -> None:
    kernel = Kernel()
    call = struct.pack("<HHiQQ", 1, 0, 5, kernel.address(b"xen_load_tls"), kernel.address(b"__switch_to"))
    pages = b.ring_page(1000, b.ring_event(5, call)) + b.ring_page(
        9000, b.ring_event(5, call), missed=1, count=7
    )
    path = tmp_path / "a.dat"
    path.write_bytes(
        b.trace_dat6([pages], {"sched": [b.switch_format()]}, ftrace=FTRACE, kallsyms=kernel.kallsyms())
    )
    lost = [event for event in told(open_trace(str(path), level="op")) if event[2] == Kind.LOST]
    assert [event[3] for event in lost] == [7]


def test_an_address_is_printed_as_the_kernel_prints_it() -> None:
    names = Names(
        b"0000000000001000 T first\n0000000000001000 T again\nnonsense\n0000000000002000 t last [mod]\n"
    )
    assert [names(at) for at in (0x1000, 0x1FFF, 0x2000, 0x99999, 0x10)] == [
        *(b"first", b"first", b"last", b"last", b"0x10"),
    ]
    assert Names(b"")(16) == b"0x10"
