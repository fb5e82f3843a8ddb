"""Ring-buffer pages: a real buffer beside the kernel's text of it, and pages built event by event."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError
from pvreplay.sources import records as r
from pvreplay.sources.formats import parse_format, parse_header_page
from pvreplay.sources.pages import PageSource, PageStream, page_layout
from pvreplay.sources.rawpages import open_raw, selected_clock, sniff_directory
from pvreplay.sources.taskstate import state_masks
from pvreplay.sources.tracepoints import CommTable, Programs
from tests import binary_files as b
from tests.binary_tools import PAGES, listed, run_interpreted, switches
from tests.source_tools import Found, drain


def stream_of(*blocks: bytes, long: int = 8, cpu: int = 0) -> PageSource:
    """The pages of one CPU, in blocks."""
    return sources([(cpu, list(blocks))], long)


def sources(cpus: list[tuple[int, list[bytes]]], long: int = 8) -> PageSource:
    """The pages of several CPUs."""
    programs = Programs()
    programs.add(parse_format(b.switch_format(long=long), "sched"))
    header = parse_header_page(b.header_page(long))
    streams = [PageStream(cpu, iter(list(blocks))) for cpu, blocks in cpus]
    return PageSource("pages", streams, page_layout(header, 4096), programs)


def switch(delta: int, following: int = 5) -> bytes:
    """A switch from idle."""
    return b.ring_event(delta, b.switch_payload(0, following))


def times(found: list[Found]) -> list[int]:
    """The time of each record."""
    return [record[0] for record in found]


# --- a real one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_a_buffer_gives_what_the_kernel_prints_of_it(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        run_interpreted(monkeypatch)
    recording = open_raw(str(PAGES))
    found, expected = switches(recording), listed("sources-n64-nofp")
    for cpu in (0, 1):
        assert [s for s in found if s[0] == cpu] == [s for s in expected if s[0] == cpu]
    assert (recording.word_bits, recording.damage, recording.doubts) == (64, "", {})


def test_other_layouts_of_a_directory_are_found(tmp_path: Path) -> None:
    def copy(source: str, target: str) -> None:
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / target).write_bytes((PAGES / source).read_bytes())

    copy("cpu0.raw", "per_cpu/cpu0/trace_pipe_raw")
    copy("cpu1.raw", "traces/cpu1")
    copy("header_page", "events/header_page")
    copy("formats/sched_switch.format", "events/sched/sched_switch/format")
    (tmp_path / "trace_clock").write_text("local [global] counter\n")
    recording = open_raw(str(tmp_path))
    assert sniff_directory(str(tmp_path))
    assert len(switches(recording)) == len(listed("sources-n64-nofp"))
    assert recording.clock == "global"


def test_what_a_directory_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no pages"):
        open_raw(str(tmp_path))
    (tmp_path / "cpu0").write_bytes(bytes(4096))
    with pytest.raises(TraceError, match="no header_page"):
        open_raw(str(tmp_path))
    (tmp_path / "header_page").write_text(b.header_page())
    with pytest.raises(TraceError, match="no format of an event"):
        open_raw(str(tmp_path))
    assert not sniff_directory(str(tmp_path / "nowhere"))


# --- event headers --------------------------------------------------------------------------------


def test_times_add_up_over_every_kind_of_event_header() -> None:
    big = b.ring_event(10, b.switch_payload(0, 5) + bytes(200))
    page = b.ring_page(
        1000,
        switch(10) + b.time_extend(1 << 40) + switch(0) + b.discarded(7, 40) + switch(1) + big
        + b.absolute_time(1 << 50) + switch(5),
    )  # fmt: skip
    base = 1010 + (1 << 40)
    assert times(drain(stream_of(page))) == [1010, base, base + 8, base + 18, (1 << 50) + 5]


def test_the_upper_bits_of_an_absolute_time_come_from_the_time_before() -> None:
    high = 5 << 59
    page = b.ring_page(
        high + 1000, switch(1) + b.absolute_time(high + 2000) + switch(1) + b.absolute_time(100) + switch(1)
    )
    assert times(drain(stream_of(page))) == [high + 1001, high + 2001, (6 << 59) + 101]


def test_padding_without_a_length_ends_the_page() -> None:
    end = (29).to_bytes(4, "little") + bytes(4)
    page = b.ring_page(1000, switch(1) + end + switch(1)) + b.ring_page(2000, switch(1))
    assert times(drain(stream_of(page))) == [1001, 2001]


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9), room=st.integers(1, 9))
def test_random_bytes_in_a_page_stay_in_it(compiled: bool, seed: int, room: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(rng.choice([40, 4080]))
    page = bytearray(b.ring_page(1000, data))
    page[16 : 16 + len(data)] = data
    good = b.ring_page(1 << 60, switch(1))
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            run_interpreted(patch)
        found = drain(stream_of(bytes(page) + good), room)
    assert found[-1][5:7] == (0, 5)


def test_pages_may_end_anywhere_in_a_block() -> None:
    whole = b"".join(b.ring_page(1000 * i, switch(1) * 20) for i in range(8))
    expected = drain(stream_of(whole))
    for size in (100, 4095, 4097, 9000):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert drain(stream_of(*pieces)) == expected
    assert len(expected) == 160


def test_a_cut_page_gives_its_whole_events() -> None:
    page = b.ring_page(1000, b"".join(switch(1) for _ in range(50)))
    recording = stream_of(page[: 16 + 68 * 10 + 30])
    assert times(drain(recording)) == [1001 + i for i in range(10)]
    assert recording.damage == "the last page of CPU 0 is cut (726 of its bytes are there)"
    assert recording.doubts == {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 7), st.integers(1, 100))
def test_cpus_are_merged_by_time_and_never_reordered(seed: int, count: int, room: int) -> None:
    rng = random.Random(seed)
    cpus, expected = [], []
    for cpu in range(count):
        made, time, number = b"", rng.randrange(500), 0
        for _ in range(rng.randrange(4)):
            time += rng.randrange(100)
            events, start = b"", time
            for _ in range(rng.randrange(40)):
                delta = rng.choice([0, 0, 1, 50])
                time += delta
                number += 1
                events += switch(delta, number)
                expected.append((time, cpu, number))
            made += b.ring_page(start, events)
        cpus.append((cpu, [made]))
    found = [(record[0], record[1], record[6]) for record in drain(sources(cpus), room)]
    assert found == sorted(expected, key=lambda entry: entry[:2])


def test_a_cpu_beyond_the_limit_is_refused() -> None:
    with pytest.raises(TraceError, match="CPU 8192"):
        stream_of(b"", cpu=8192)


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("print_fmt", "masks"),
    [
        # 6.1 and later: EXIT_DEAD 0x10, EXIT_ZOMBIE 0x20; preempted is the bit above the reported ones.
        (b.SWITCH_PRINT, (0x100, 0x30)),
        # 3.18: a number minus one; Z 16, X 32, x 64.
        ('REC->prev_state & (2048-1) ? __print_flags(REC->prev_state & (2048-1), "|", { 1, "S"} , '
         '{ 16, "Z" }, { 32, "X" }, { 64, "x" }) : "R", REC->prev_state & 2048 ? "+" : ""', (2048, 0x70)),
        # 2.6.35: no "+".
        ('REC->prev_state ? __print_flags(REC->prev_state, "|", { 1, "S"} , { 16, "Z" }) : "R"', (0, 0x10)),
    ],
)  # fmt: skip
def test_the_states_of_a_task_follow_the_kernel_that_printed_them(
    print_fmt: str, masks: tuple[int, int]
) -> None:
    preempted, dead, blocked = state_masks(print_fmt)
    assert (preempted, dead) == masks
    assert blocked & 1
    assert not blocked & (preempted | dead)


def test_without_a_table_the_state_is_not_known() -> None:
    assert state_masks('"%s", REC->prev_comm') == (0, 0, 0)
    text = b.switch_format().split("print fmt:")[0]
    programs = Programs()
    programs.add(parse_format(text, "sched"))
    layout = page_layout(parse_header_page(b.header_page()), 4096)
    recording = PageSource("p", [PageStream(0, iter([b.ring_page(0, switch(1))]))], layout, programs)
    assert drain(recording)[0][7] >> 48 == r.STATE_UNKNOWN


def test_a_format_that_lacks_a_field_is_a_doubt_not_a_guess() -> None:
    programs = Programs()
    programs.add(parse_format(b.switch_format().replace("next_pid", "next_xxx"), "sched"))
    assert programs.known == {}
    assert programs.doubts == {"format_sched_switch": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: x\n",
        "name: x\nID: many\n",
        "name: x\nID: 1\n\tfield:int a;\toffset:65530;\tsize:16;\tsigned:0;\n",
    ],
)
def test_a_damaged_format_is_refused(text: str) -> None:
    with pytest.raises(TraceError):
        parse_format(text)


def test_a_damaged_header_page_is_refused() -> None:
    for text in (
        "",
        b.header_page().replace("size:4080", "size:1"),
        b.header_page().replace("commit", "omit"),
    ):
        with pytest.raises(TraceError):
            parse_header_page(text)


def test_the_selected_clock_is_the_one_in_brackets() -> None:
    assert selected_clock("local [x86-tsc] mono\n") == "x86-tsc"
    assert selected_clock("local global\n") == ""
    assert selected_clock("boot\n") == "boot"


def test_more_names_than_the_table_holds_at_first_are_all_kept() -> None:
    count = 12_000
    blocks = []
    for first in range(0, count, 50):
        events = b"".join(
            b.ring_event(1, b.switch_payload(0, i, b"idle", b"task-%d" % i)) for i in range(first, first + 50)
        )
        blocks.append(b.ring_page(first, events))
    recording = stream_of(b"".join(blocks))
    names = [recording.comms[record[7] >> 24 & 0xFFFFFF] for record in drain(recording, 1000)]
    assert names == [b"task-%d" % i for i in range(count)]
    assert len(recording.comms) == count + 2
    assert len(CommTable().keys) // 2 < count, "the table has grown"


def test_names_end_at_their_first_zero_and_fill_all_16_bytes_at_most() -> None:
    events = b"".join(
        b.ring_event(1, b.switch_payload(0, 5, prev, following))
        for prev, following in (
            (b"", b"a"),
            (b"a\0junk", b"a"),
            (b"12345678", b"12345678\0x"),
            (b"x" * 16, b"\xc3\xa9"),
        )
    )
    recording = stream_of(b.ring_page(0, events))
    names = [
        (recording.comms[record[7] & 0xFFFFFF], recording.comms[record[7] >> 24 & 0xFFFFFF])
        for record in drain(recording)
    ]
    assert names == [(b"", b"a"), (b"a", b"a"), (b"12345678", b"12345678"), (b"x" * 16, b"\xc3\xa9")]
    assert len(recording.comms) == 5
