"""The text form: the page's example, everything round-trips, errors name the line."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError
from pvreplay.trace import text
from pvreplay.trace.binary import BinaryTrace, write_binary
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace, read_all
from pvreplay.trace.model import Meta, Origin, Task, Trace
from pvreplay.trace.names import ARG_MAX, TAKES_TASK
from pvreplay.trace.quote import from_bytes, quote, words
from pvreplay.trace.text import TextTrace, write_text

DESIGN_EXAMPLE = """\
# pvreplay trace 1
cpus 2
task 1 comm=make mm=1 fpu=1
task 2 comm=cc1 mm=2 tls=1a,0,0 ldt=7 iopl=3 dr=1 io_bitmap=1 notsc=1 gs=1 fpu_counter=6 used_math=1
task 3 comm=kswapd0 mm=0
on 0 1
0.000001000 0 switch 2
0.000002000 0 fpu
0.000003000 0 iopl 0
0.000004000 0 switch 3
"""


def written(trace: Trace) -> str:
    out = io.BytesIO()
    write_text(trace, out)
    return out.getvalue().decode()


def parsed(body: str) -> TextTrace:
    return TextTrace("# pvreplay trace 1\n" + body, "t.txt")


def refused(body: str) -> TraceError:
    with pytest.raises(TraceError) as caught:
        read_all(parsed(body))
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
    return caught.value


# --- what is written by hand --------------------------------------------------------


def test_the_example_of_the_design_reads_as_it_says() -> None:
    trace = TextTrace(DESIGN_EXAMPLE)
    events, tasks, on = read_all(trace)
    assert events == [
        (1000, 0, Kind.SWITCH, 2, 0),
        (2000, 0, Kind.FPU, 0, 0),
        (3000, 0, Kind.IOPL, 0, 0),
        (4000, 0, Kind.SWITCH, 3, 0),
    ]
    assert on == [(0, 1)]
    assert tasks == [
        Task(1, "make", pid=1, mm=1, fpu=True),
        Task(
            2,
            "cc1",
            pid=2,
            mm=2,
            tls=(0x1A, 0, 0),
            ldt=7,
            iopl=3,
            dr=True,
            io_bitmap=True,
            notsc=True,
            gs=True,
            fpu_counter=6,
            used_math=True,
        ),
        Task(3, "kswapd0", pid=3, mm=0),
    ]
    assert (trace.meta.cpus, trace.meta.level) == (2, "switch")


def test_task_numbers_of_a_file_become_1_2_3_and_stay_as_pids() -> None:
    trace = parsed("task 70\ntask 3 pid=9 mm=5\n1 0 switch 3\n2 0 switch 70\n3 0 switch idle\n4 0 switch 0\n")
    events, tasks, _ = read_all(trace)
    assert [event[3] for event in events] == [2, 1, 0, 0]
    assert [(task.id, task.pid, task.mm) for task in tasks] == [(1, 70, 70), (2, 9, 5)]
    assert trace.meta.cpus == 1


def test_a_task_may_be_defined_among_events_but_before_it_is_named() -> None:
    body = "task 1\n1 0 switch 1\n\n# born\ntask 2\n2 0 fork 2\non 1 2\n3 0 switch 2\n"
    seen = [(len(c.events) // 2, [t.id for t in c.tasks], c.on, c.offset) for c in parsed(body).chunks()]
    assert seen == [(1, [1], [], 3), (1, [2], [], 7), (1, [], [(1, 2)], 9)]
    assert "task 2 is not defined" in refused("task 1\n1 0 switch 2\ntask 2\n").message


def test_comments_blank_lines_indents_and_dos_line_ends_mean_nothing() -> None:
    body = "\r\n# a comment\r\n  task 1 comm=a#b # not this\r\n\r\n"
    body += "  0.5 0 switch 1 # back\r\n1.5\t0  switch  0\r\n"
    events, tasks, _ = read_all(parsed(body))
    assert events == [(500_000_000, 0, 1, 1, 0), (1_500_000_000, 0, 1, 0, 0)]
    assert tasks[0].comm == "a#b"


@pytest.mark.parametrize(
    ("written_time", "time_ns"),
    [
        ("0", 0),
        ("7", 7_000_000_000),
        ("0.000000001", 1),
        ("0.1", 100_000_000),
        ("18446744073.709551615", 2**64 - 1),
        ("9999999999.999999999", 9_999_999_999_999_999_999),
    ],
)
def test_times_are_exact(written_time: str, time_ns: int) -> None:
    trace = parsed(f"{written_time} 0 fpu\n")
    assert read_all(trace)[0] == [(time_ns, 0, Kind.FPU, 0, 0)]


def test_ops_are_named_by_the_ops_line_or_as_they_come() -> None:
    told = parsed("ops load_tls loadsegment:gs\n1 0 op loadsegment:gs\n2 0 op load_tls 7\n")
    assert read_all(told)[0] == [(10**9, 0, Kind.OP, 1, 0), (2 * 10**9, 0, Kind.OP, 7 << 16, 0)]
    come = parsed("1 0 begin 0\n1 0 op clts\n1 0 op load_tls\n1 0 op clts\n1 0 end\n")
    assert [event[3] for event in read_all(come)[0]] == [0, 0, 1, 0, 0]
    assert (come.meta.ops, come.meta.level) == (("clts", "load_tls"), "op")


def test_what_is_known_may_be_told_again_and_the_last_line_counts() -> None:
    trace = parsed(
        'clock local\norigin "a \\"b\\""\nstate fpu assumed from never option "--assume fpu=always"\n'
        "1 2 fpu\nclock mono\ncpus 3\nstate fpu observed from x86_fpu\ndoubt unmatched 4\ndamage cut\n"
    )
    assert (trace.meta.clock, trace.meta.origin) == ("local", 'a "b"')
    list(trace.chunks())
    assert (trace.meta.clock, trace.meta.cpus) == ("mono", 3)
    assert trace.meta.state == {"fpu": Origin("observed", "x86_fpu")}
    assert (trace.doubts, trace.damage) == ({"unmatched": 4}, "cut")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("1 0", "an event line of 2 words"),
        ("1", "an event line of 1 words"),
        ("1 0 swich 1", "event swich"),
        ("1 0 switch", "switch with 0 arguments"),
        ("1 0 fpu 1", "fpu with 1 arguments"),
        ("1 0 switch 9", "task 9 is not defined"),
        ("1 2 fpu", "CPU 2"),
        ("1 -1 fpu", "CPU -1"),
        ("1 \u0661 fpu", 'CPU "\u0661"'),
        ("1.0000000001 0 fpu", "time 1.0000000001"),
        ("1. 0 fpu", "time 1."),
        ("1_0.5 0 fpu", "time 1_0.5"),
        ("1.0000000_1 0 fpu", "time 1.0000000_1"),
        ("18446744073.709551616 0 fpu", "time 18446744073.709551616"),
        ("1 0 iopl 4", "iopl 4"),
        ("1 0 gs 2", "gs 2"),
        ("1 0 gs 1_0", "gs 1_0"),
        ("1 0 set_pte 4294967296", "set_pte 4294967296"),
        ("1 0 exec 16777216", "exec 16777216"),
        ("1 0 tls 3 0", "tls 3 0"),
        ("1 0 tls 0 x", "tls 0 x"),
        ("1 0 op", "op"),
        ("1 0 op a 65536", "op a 65536"),
        ("1 0 op clts", "op clts"),
        ('1 0 fpu "', "does not end"),
        ("ops b", "op 0 is b"),
        ("ops a a", "op a"),
        ("task", "task"),
        ("task 0", "task 0"),
        ("task 1", "task 1 is defined twice"),
        ("task 2 comm", "comm"),
        ("task 2 nice=3", "nice=3"),
        ("task 2 mm=1 mm=1", "mm twice"),
        ("task 2 mm=-1", "mm=-1"),
        ("task 2 mm=16777216", "mm 16777216"),
        ("task 16777216", "mm 16777216"),
        ("task 2 tls=1,2", "tls=1,2"),
        ("task 2 tls=1,2,123456789", "tls=1,2,123456789"),
        ("task 2 gs=2", "gs=2"),
        ("task 2 iopl=4", "iopl 4"),
        ("task 2 fpu_counter=256", "fpu_counter 256"),
        ('task 2 comm="a\\q"', "unknown escape \\q"),
        ("on 0", "on 0"),
        ("on 2 1", "CPU 2"),
        ("on 0 5", "task 5 is not defined"),
        ("cpus 0", "cpus 0"),
        ("level user", "level user"),
        ("state fpu", "state fpu"),
        ("doubt x -1", "doubt x -1"),
        ("clock a b", "clock with 2 values"),
        ("swtch 1", "swtch"),
    ],
)
def test_a_wrong_line_is_named_with_what_was_found(line: str, found: str) -> None:
    error = refused(f"cpus 2\nops a\ntask 1\n0.5 0 fpu\n{line}\n")
    assert error.message.startswith("t.txt: line 6: ")
    assert found in error.message
    assert error.hint.startswith("Expected ")


def test_a_cpus_line_below_a_cpu_seen_before_is_refused() -> None:
    assert "cpus 1, after CPU 3" in refused("1 3 fpu\ncpus 1\n").message


@pytest.mark.parametrize("first", ["", "# pvreplay", "cpus 2", "\x00\x01"])
def test_a_text_without_the_first_line_is_refused(first: str) -> None:
    with pytest.raises(TraceError, match="line 1"):
        TextTrace(first)


def test_another_version_is_told_apart() -> None:
    with pytest.raises(TraceError, match="version 2; this pvreplay reads version 1"):
        TextTrace("# pvreplay trace 2\n")


# --- round trips ----------------------------------------------------------------------

names = st.binary(max_size=24).map(from_bytes) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=16
)


@st.composite
def traces(draw: st.DrawFn) -> ListTrace:
    """A trace with every kind of event, hostile names, and everything that can be known."""
    flag, small = st.booleans(), st.integers(0, 3)
    word = st.integers(0, 2**32 - 1)
    tasks = [
        Task(
            number,
            draw(names),
            draw(st.sampled_from([-1, number, 77])),
            draw(st.integers(0, 2**24 - 1)),
            draw(st.tuples(word, word, word)),
            draw(word),
            draw(small),
            *(draw(flag) for _ in range(6)),
            draw(st.integers(0, 255)),
            draw(flag),
        )
        for number in range(1, draw(st.integers(1, 4)))
    ]
    ops = tuple(draw(st.lists(names.filter(bool), min_size=1, max_size=3, unique_by=quote)))
    events: list[Event] = []
    for kind in draw(st.lists(st.sampled_from(list(Kind)), max_size=30)):
        if kind in TAKES_TASK:
            arg = draw(st.integers(0, len(tasks)))
        elif kind == Kind.OP:
            arg = draw(st.integers(0, len(ops) - 1)) | draw(st.integers(0, 65535)) << 16
        else:
            arg = draw(st.integers(0, ARG_MAX[kind]))
        flags = draw(st.integers(0, 2)) if kind == Kind.TLS else 0
        events.append((draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 8191)), kind, arg, flags))
    meta = Meta(origin=draw(names), clock=draw(names), tool=draw(names), level="op", ops=ops)
    meta.state["fpu"] = Origin(
        draw(st.sampled_from(["observed", "derived", "assumed"])), draw(names), draw(names)
    )
    on = [(draw(st.integers(0, 8191)), draw(st.integers(0, len(tasks))))]
    trace = ListTrace(events, tasks, on, meta, chunk_events=draw(st.integers(1, 9)))
    trace.doubts["out_of_order"] = draw(st.integers(1, 10**18))
    trace.damage = draw(names)
    return trace


def facts(trace: Trace) -> tuple[object, ...]:
    """Everything about a trace but its path and format."""
    content = read_all(trace)
    meta = trace.meta
    return (
        content,
        (meta.origin, meta.clock, meta.tool, meta.level, meta.ops, meta.state),
        trace.doubts,
        trace.damage,
    )


@settings(max_examples=120, deadline=None)
@given(traces())
def test_text_and_binary_hold_the_same(trace: ListTrace) -> None:
    expected = facts(trace)
    text_form = written(trace)
    assert facts(TextTrace(text_form)) == expected
    binary = io.BytesIO()
    write_binary(TextTrace(text_form), binary)
    assert facts(BinaryTrace.from_stream(io.BytesIO(binary.getvalue()))) == expected
    assert written(BinaryTrace.from_stream(io.BytesIO(binary.getvalue()))) == written(TextTrace(text_form))


@given(names)
def test_a_quoted_name_is_one_harmless_word(name: str) -> None:
    quoted = quote(name)
    assert words(f"a {quoted} b") == ["a", name, "b"]
    assert words(f"comm={quoted}") == [f"comm={name}"]
    assert quoted.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=80))
def test_garbage_never_ends_in_a_traceback(garbage: str | bytes) -> None:
    raw = garbage.encode("utf-8", "surrogatepass") if isinstance(garbage, str) else garbage
    for bad in (raw, b"# pvreplay trace 1\n" + raw, b"# pvreplay trace 1\ntask 1\n1 0 " + raw):
        try:
            read_all(TextTrace(bad))
        except TraceError as error:
            assert "\n" not in error.message + error.hint


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ((1, 0, 99), "unknown event kind 99"),
        ((1, 9000, Kind.FPU), "fpu on CPU 9000"),
        ((1, 0, Kind.SWITCH, 5), "switch with argument 5"),
        ((1, 0, Kind.FPU, 1), "fpu with argument 1"),
        ((1, 0, Kind.GS, 1, 1), "gs with flags 1"),
        ((1, 0, Kind.TLS, 1, 3), "tls with flags 3"),
        ((1, 0, Kind.OP, 0), "op 0 of 0"),
    ],
)
def test_an_event_that_could_not_be_read_back_is_not_written(event: Event, found: str) -> None:
    with pytest.raises(TraceError, match=found):
        written(ListTrace([event], [Task(1)]))


# --- streaming ---------------------------------------------------------------------------


def test_every_kind_of_source_reads_the_same() -> None:
    expected = read_all(TextTrace(DESIGN_EXAMPLE))
    raw = DESIGN_EXAMPLE.encode()
    assert read_all(TextTrace(raw)) == expected
    assert read_all(TextTrace(raw.rstrip(b"\n"))) == expected
    assert read_all(TextTrace(io.BytesIO(raw))) == expected
    assert read_all(TextTrace(DESIGN_EXAMPLE.splitlines(keepends=True))) == expected
    for taken in (0, 3, 19, 100, len(raw)):
        assert read_all(TextTrace(io.BytesIO(raw[taken:]), head=raw[:taken])) == expected, taken
        lines = raw[taken:].splitlines(keepends=True)
        if raw[:taken].endswith(b"\n"):
            assert read_all(TextTrace(lines, head=raw[:taken])) == expected, taken


def test_lines_that_straddle_two_reads_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(text, "_READ_BYTES", size)
        assert read_all(TextTrace(io.BytesIO(DESIGN_EXAMPLE.encode()))) == read_all(TextTrace(DESIGN_EXAMPLE))


def test_chunks_come_while_the_source_still_has_more() -> None:
    given_lines = 0

    def source() -> Iterator[bytes]:
        nonlocal given_lines
        yield b"# pvreplay trace 1\n"
        for number in range(3 * text.CHUNK_EVENTS):
            given_lines += 1
            yield b"%d.%09d 0 fpu\n" % divmod(number, 10**9)

    trace = TextTrace(source())
    chunk = next(trace.chunks())
    assert len(chunk.events) == 2 * text.CHUNK_EVENTS
    assert given_lines == text.CHUNK_EVENTS


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            return b"1" * size

    endless = Endless()
    source = io.BytesIO(b"# pvreplay trace 1\n")
    with pytest.raises(TraceError, match="line 2"):
        read_all(TextTrace(endless, head=source.getvalue()))
    assert endless.taken <= 8 << 20


def test_where_names_the_line_of_an_event() -> None:
    trace = parsed("task 1\n1 0 fpu\n# note\n2 0 fpu\n3 0 fpu\n\ncpus 4\n4 0 fpu\n")
    for chunk in trace.chunks():
        assert [trace.where(chunk, index) for index in range(4)] == ["line 3", "line 5", "line 6", "line 9"]


def test_a_trace_in_memory_refuses_numbers_that_do_not_fit() -> None:
    for event in (
        (-1, 0, 1),
        (1 << 64, 0, 1),
        (0, 1 << 16, 1),
        (0, 0, 256),
        (0, 0, 1, 1 << 32),
        (0, 0, 1, 0, 256),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            list(ListTrace([event], meta=Meta()).chunks())
    with pytest.raises(ValueError, match="numbered"):
        ListTrace([], [Task(2)])
