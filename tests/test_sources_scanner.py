"""The compiled line scanner against the slow parser, and against itself interpreted."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.sources import _text_cy, textsource
from pvreplay.sources import records as r
from pvreplay.sources.textsource import TextSource
from tests.source_tools import NOFP, WEIRD, drain, interpreted

SLOWLY = interpreted("_text_cy")

comms = st.one_of(
    st.sampled_from(
        [b"make", b"cc1", b"swapper/0", b"a b c", b"a-12 [003]", b"", b"-1 [000] 1.0: a", b"x ==> next_comm"]
    ),
    st.binary(max_size=15).map(
        lambda name: name.replace(b"\n", b"?").replace(b"\r", b"?").replace(b"\0", b"?")
    ),
)
pids = st.one_of(st.sampled_from([0, 1, 2, 7, 4194304]), st.integers(0, 99999))
states = st.sampled_from([b"R", b"R+", b"S", b"D|W", b"Z", b"X", b"I", b"1", b"0", b"t+"])


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """The text of an event."""
    kind = draw(st.integers(0, 9))
    if kind <= 4:
        return (
            b"sched_switch: prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s "
            b"==> next_comm=%s next_pid=%d next_prio=%d"
            % (
                draw(comms),
                draw(pids),
                draw(st.integers(-1, 139)),
                draw(states),
                draw(comms),
                draw(pids),
                draw(st.integers(-1, 139)),
            )
        )
    if kind == 5:
        return b"tlb_flush: pages:%d reason:%s (%d)" % (
            draw(st.integers(-1, 1 << 40)),
            draw(st.sampled_from([b"flush on task switch", b"local MM shootdown"])),
            draw(st.integers(0, 12)),
        )
    if kind == 6:
        return b"x86_fpu_regs_%s: x86/fpu: %s load: %d xfeatures: %x xcomp_bv: 0" % (
            draw(st.sampled_from([b"activated", b"deactivated"])),
            draw(st.sampled_from([b"00000000f5e22560", b"0xffff8881048b23c0", b"(____ptrval____)"])),
            draw(st.integers(0, 1)),
            draw(st.integers(0, 1 << 63)),
        )
    if kind == 7:
        return b"xen_mmu_write_cr3: %s cr3 %x" % (
            draw(st.sampled_from([b"kernel", b"user"])),
            draw(st.integers(0, 1 << 63)),
        )
    if kind == 8:
        return b"task_newtask: pid=%d comm=%s clone_flags=%x oom_score_adj=0" % (
            draw(pids),
            draw(comms),
            draw(st.integers(0, 0xFFFFFFFF)),
        )
    return draw(
        st.sampled_from(
            [
                b"sched_wakeup: comm=a pid=1 prio=120 target_cpu=000",
                b"schedule <-io_schedule",
                b"sys_read(fd: 3)",
                b"sys_iopl(level: 3)",
                b"irq_handler_entry: irq=1 name=x",
                b"sys_enter: NR 54 (3, 0, 0, 0, 0, 0)",
                b"sys_enter: NR 172 (3, 0, 0, 0, 0, 0)",
                b"sys_enter: NR 172(3, 0)",
                b"sys_exit: NR 172 = -1",
                b"sys_exit: NR 600 = -1",
                b"sys_exit: NR 1=0",
                b"sys_exit: id=1 ret=1",
                b"print: hello: [001] 1.5: sched_switch: no",
                b"sched_switch: ",
            ]
        )
    )


@st.composite
def lines(draw: st.DrawFn, perf: bool = False) -> bytes:
    """A line of ftrace or perf script text, now and then spoilt."""
    comm, pid, cpu = draw(comms), draw(pids), draw(st.sampled_from([0, 1, 3, 8191, 8192]))
    time = b"%d.%06d" % (draw(st.integers(0, 1 << 30)), draw(st.integers(0, 999999)))
    if perf:
        event = draw(payloads())
        system = draw(st.sampled_from([b"sched:", b"tlb:", b"x86_fpu:", b"task:"]))
        line = b"%16s %5d [%03d] %s: %s%s" % (
            comm,
            pid,
            cpu,
            time,
            draw(st.sampled_from([b"", b"    "])),
            system + event,
        )
    else:
        group = draw(st.sampled_from([b"", b"", b"(-----) ", b"(  123) ", b"(%7d) " % draw(pids)]))
        flags = draw(st.sampled_from([b"d..2. ", b"d..2 ", b"...1.", b"", b"dNh4. ", b"d.s.2.1 "]))
        time = draw(st.sampled_from([time, time, time + b"123", time.partition(b".")[0]]))
        line = b"%16s-%-7d %s[%03d] %s%12s: %s" % (comm, pid, group, cpu, flags, time, draw(payloads()))
    if draw(st.integers(0, 9)) == 0 and line:
        at = draw(st.integers(0, len(line) - 1))
        line = draw(
            st.sampled_from(
                [line[:at], line[at:], line[:at] + b"[" + line[at:], line + b" ", line + b"\r", b"\t" + line]
            )
        )
    return line


def told(text: bytes, style: str, slow: bool, room: int) -> tuple[object, ...]:
    """What a source makes of text, with names instead of numbers."""
    source = TextSource(io.BytesIO(text), style, slow=slow)
    found = []
    for *head, kind, flags, pid, a, b, c in drain(source, room):
        names: tuple[bytes, ...] = ()
        if kind == r.SWITCH:
            names = source.comms[c & 0xFFFFFF], source.comms[c >> 24 & 0xFFFFFF]
            c >>= 48
        elif kind in (r.NEWTASK, r.INFO):
            names, c = (source.comms[c],), 0
        found.append((*head, kind, flags, pid, a, b, c, names))
    return found, source.clock, source.doubts


@settings(max_examples=150, deadline=None)
@given(st.lists(lines(), max_size=12), st.sampled_from([8, 64]))
def test_fast_and_slow_agree_on_hostile_ftrace_text(some: list[bytes], room: int) -> None:
    text = b"\n".join(some)
    assert told(text, "ftrace", False, room) == told(text, "ftrace", True, 64)


@settings(max_examples=100, deadline=None)
@given(st.lists(lines(perf=True), max_size=12), st.sampled_from([8, 64]))
def test_fast_and_slow_agree_on_hostile_perf_script_text(some: list[bytes], room: int) -> None:
    text = b"\n".join(some)
    assert told(text, "perf", False, room) == told(text, "perf", True, 64)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_fast_and_slow_agree_on_noise(text: bytes) -> None:
    text = text.replace(b"\r", b"")
    for style in ("ftrace", "perf"):
        assert told(text, style, False, 64) == told(text, style, True, 64)


@settings(max_examples=60, deadline=None)
@given(st.lists(lines(), max_size=8))
def test_interpreted_and_compiled_scanner_agree(some: list[bytes]) -> None:
    text = b"\n".join(some)
    compiled = told(text, "ftrace", False, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textsource.fast, "scan", _interpreted_scan)
        assert told(text, "ftrace", False, 64) == compiled


def _interpreted_scan(block: bytearray, at: int, end: int, perf: bool, *tables: object) -> int:
    views = [memoryview(table) for table in tables]  # type: ignore[arg-type]
    stopped: int = SLOWLY.scan(memoryview(block), at, end, perf, *views)
    return stopped


def test_the_scanner_is_compiled_and_takes_nearly_every_line_of_a_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _text_cy.COMPILED and not SLOWLY.COMPILED
    odd: list[bytes] = []
    parse = textsource.LineParser.parse
    monkeypatch.setattr(
        textsource.LineParser,
        "parse",
        lambda self, line: odd.append(line) or parse(self, line),  # type: ignore[func-returns-value]
    )
    text = NOFP.read_bytes()
    drain(TextSource(io.BytesIO(text), "ftrace"))
    first_seen = 12 + 9 + 12  # header lines, births and renames, each new name once or twice
    assert len(odd) <= first_seen


def test_recordings_in_small_pieces_give_the_same_records() -> None:
    class Dribble(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            piece = self.data.read(min(len(buffer), 37))
            buffer[: len(piece)] = piece
            return len(piece)

    for path in (NOFP, WEIRD):
        text = path.read_bytes()
        whole = drain(TextSource(io.BytesIO(text), "ftrace"), 4096)
        assert drain(TextSource(Dribble(text), "ftrace"), 8) == whole


def test_an_endless_line_is_dropped_and_counted() -> None:
    line = b" cc1-7 [003] d..2. 1.5: tlb_flush: pages:1 reason:x (0)\n"
    source = TextSource(io.BytesIO(line + b"x" * (3 * textsource.BLOCK_BYTES) + b"\n" + line), "ftrace")
    assert len(drain(source)) == 2
    assert source.doubts["overlong_lines"] >= 1
