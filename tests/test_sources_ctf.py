"""CTF: traces made in code, read through babeltrace2 where it is there; and what is said when it is not."""

from __future__ import annotations

import builtins
import importlib
import tempfile
from pathlib import Path

import pytest

from pvreplay.errors import TraceError, UsageError
from pvreplay.sources import ctf
from pvreplay.sources import records as r
from pvreplay.sources.ctfevents import parse_event
from pvreplay.sources.detect import open_trace
from tests.ctf_files import Writer
from tests.source_tools import Found, by_pid, drain, read

IDLE, A, B = (b"swapper/1", 0), (b"alpha", 100), (b"beta", 200)

try:
    BT2 = ctf.find_bindings("tests")
except UsageError:
    BT2 = None
needs_bt2 = pytest.mark.skipif(BT2 is None, reason="the bindings of babeltrace2 are not installed")


def trace(big_endian: bool = False) -> Writer:
    writer = Writer(big_endian)
    writer.alive(900, 100, 100, b"alpha", kthread=False)
    writer.switch(1000, IDLE, 0, A)
    writer.iopl(1100, 3, 0)
    writer.irq(1200)
    writer.switch(2000, A, 1, B)
    writer.fork(2500, 200, 200, b"thread", 201, 200)
    writer.switch(3000, B, 64 | 16, IDLE)
    return writer


def source(directory: Path) -> ctf.CtfSource:
    return ctf.CtfSource(str(directory), BT2)


def intern(names: list[bytes]) -> ctf.CtfSource:
    """Only its way to number names is used."""
    made = object.__new__(ctf.CtfSource)
    made.comms, made._numbers = names, {name: at for at, name in enumerate(names)}
    return made


@needs_bt2
@pytest.mark.parametrize("big_endian", [False, True], ids=["little-endian", "big-endian"])
def test_a_trace_in_either_endianness(tmp_path: Path, big_endian: bool) -> None:
    trace(big_endian).write(tmp_path, cpu=1)
    found = source(tmp_path)
    names = found.comms
    rows: list[Found] = drain(found, room=2)
    assert [row[:7] for row in rows] == [
        (900, 1, r.INFO, r.IS_USER, 0xFFFFFFFF, 100, 100),
        (1000, 1, r.SWITCH, 0, 0xFFFFFFFF, 0, 100),
        (1100, 1, r.SYS_ENTER, 0, 100, r.SYS_IOPL, 3),
        (1110, 1, r.SYS_EXIT, 0, 100, r.SYS_IOPL, 0),
        (2000, 1, r.SWITCH, 0, 100, 100, 200),
        (2500, 1, r.FORK, r.SAME_GROUP, 200, 201, 200),
        (3000, 1, r.SWITCH, 0, 200, 200, 0),
    ]
    switches = [row for row in rows if row[2] == r.SWITCH]
    assert [(names[c & 0xFFFFFF], names[c >> 24 & 0xFFFFFF]) for *_, c in switches] == [
        (b"swapper/1", b"alpha"),
        (b"alpha", b"beta"),
        (b"beta", b"swapper/1"),
    ]
    assert [c >> 48 for *_, c in switches] == [r.STATE_RUNNABLE, r.STATE_BLOCKED, r.STATE_DEAD]
    assert (found.clock, found.origin, found.word_bits) == ("monotonic", "lttng-modules on Linux 6.1.0", 64)


@needs_bt2
@pytest.mark.parametrize("name", ["", "metadata", "channel0_1"])
def test_the_directory_or_one_of_its_files_is_named(tmp_path: Path, name: str) -> None:
    trace().write(tmp_path / "session" / "kernel", cpu=1)
    given = tmp_path / "session" / "kernel" / name if name else tmp_path / "session"
    opened = open_trace(str(given))
    events, tasks = read(opened)
    assert opened.meta.format == "CTF"
    assert [kind for kind, *_ in events].count("SWITCH") == 3
    assert by_pid(tasks)[201].mm == by_pid(tasks)[200].mm
    assert ("IOPL", 1, 3, 0) in events


@needs_bt2
def test_discarded_events_are_a_loss(tmp_path: Path) -> None:
    trace().write(tmp_path, cpu=1, discarded=7)
    rows = drain(source(tmp_path))
    assert [(row[1], row[5]) for row in rows if row[2] == r.LOST] == [(1, 7)]
    assert sum(row[2] == r.SWITCH for row in rows) == 3


def many(count: int, big_endian: bool = False) -> Writer:
    made = Writer(big_endian)
    for n in range(count):
        made.switch(1000 + 10 * n, (b"a", 100 + n), 1, (b"b", 101 + n))
    return made


def next_pids(found: ctf.CtfSource) -> list[int]:
    return [row[6] for row in drain(found) if row[2] == r.SWITCH]


@needs_bt2
@pytest.mark.parametrize("big_endian", [False, True], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("left_out", [1, 40, 70, 200])
def test_a_cut_stream_gives_the_events_that_are_whole(
    left_out: int, big_endian: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    many(40, big_endian).write(tmp_path / "trace", cpu=1, discarded=3)
    stream = tmp_path / "trace" / "channel0_1"
    whole = stream.read_bytes()
    stream.write_bytes(whole[:-left_out])
    event_bytes = 12 + 56
    found = source(tmp_path / "trace")
    assert list((tmp_path / "temporary").iterdir())
    assert next_pids(found) == list(range(101, 141 - -(-left_out // event_bytes)))
    assert found.damage == "channel0_1 is cut inside a packet"
    assert not list((tmp_path / "temporary").iterdir()), "what was made to read it is gone"


@needs_bt2
def test_a_stream_cut_in_a_packets_head_gives_the_packets_before(tmp_path: Path) -> None:
    many(40).write(tmp_path, cpu=1, discarded=3)
    stream = tmp_path / "channel0_1"
    content = stream.read_bytes()
    second = content.rindex(content[:4])
    stream.write_bytes(content[: second + 30])
    found = source(tmp_path)
    assert next_pids(found) == list(range(101, 121))
    assert found.damage.endswith(f", 30 of its {second + 30:,} bytes are left out")


@needs_bt2
def test_the_other_streams_of_a_trace_with_a_cut_one_are_read(tmp_path: Path) -> None:
    many(10).write(tmp_path, cpu=0)
    many(10).write(tmp_path, cpu=1)
    stream = tmp_path / "channel0_1"
    stream.write_bytes(stream.read_bytes()[:20])
    found = source(tmp_path)
    assert next_pids(found) == list(range(101, 111))
    assert found.damage.startswith("channel0_1 is cut")


@needs_bt2
def test_a_trace_of_which_nothing_can_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    trace().write(tmp_path, cpu=1)
    stream = tmp_path / "channel0_1"
    stream.write_bytes(stream.read_bytes()[:20])
    with pytest.raises(TraceError, match="message iterator is in an unexpected state"):
        source(tmp_path)


@needs_bt2
def test_a_damaged_stream_gives_what_stands_before(tmp_path: Path) -> None:
    trace().write(tmp_path, cpu=1)
    stream = tmp_path / "channel0_1"
    content = bytearray(stream.read_bytes())
    last = len(content) - (12 + 56)  # the event number of the last switch
    assert content[last : last + 4] == bytes(4)
    content[last] = 99
    stream.write_bytes(content)
    found = source(tmp_path)
    assert sum(row[2] == r.SWITCH for row in drain(found)) == 2
    assert found.damage.startswith("babeltrace2 stops after")
    assert "addr=" not in found.damage


@needs_bt2
def test_metadata_that_is_none_is_a_trace_error(tmp_path: Path) -> None:
    trace().write(tmp_path)
    (tmp_path / "metadata").write_text("/* CTF 1.8 */\nthis is not TSDL {")
    with pytest.raises(TraceError, match=str(tmp_path)):
        open_trace(str(tmp_path))


def test_without_the_bindings_it_is_said_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    trace().write(tmp_path)
    monkeypatch.setattr(ctf, "SYSTEM_PACKAGES", str(tmp_path))
    monkeypatch.setattr(ctf, "import_module", missing)
    with pytest.raises(UsageError) as failed:
        open_trace(str(tmp_path))
    assert "no babeltrace2 bindings" in failed.value.message
    assert "python3-bt2" in str(failed.value.hint)


def test_a_stream_and_a_lonely_file_are_refused(tmp_path: Path) -> None:
    trace().write(tmp_path)
    with builtins.open(tmp_path / "metadata", "rb") as file, pytest.raises(UsageError, match="a single file"):
        ctf.open(file)
    (tmp_path / "metadata").unlink()
    with pytest.raises(UsageError, match="no metadata beside it"):
        open_trace(str(tmp_path / "channel0_0"))
    assert importlib.import_module("pvreplay.sources.ctf").sniff(b"/* CTF 1.8 */")


EVENTS = [
    ("task:task_newtask", {"pid": 7, "comm": "x", "clone_flags": 0x100}, (r.NEWTASK, 7, 0x100, 1, 0)),
    ("sched:sched_process_exec", {"filename": "/bin/x", "pid": 7, "old_pid": 8}, (r.EXEC, 7, 8, 1, 0)),
    ("sched_process_exec", {"filename": "x", "tid": 7, "old_tid": 8}, (r.EXEC, 7, 8, 1, 0)),
    ("sched_process_free", {"comm": "x", "tid": 7, "prio": 20}, (r.FREE, 7, 0, 0, 0)),
    ("sched_process_exit", {"comm": "x", "pid": 7}, (r.EXIT, 7, 0, 0, 0)),
    ("task:task_rename", {"pid": 7, "oldcomm": "y", "newcomm": "x"}, (r.RENAME, 7, 0, 1, 0)),
    (
        "sched:sched_process_fork",
        {"parent_pid": 1, "child_comm": "x", "child_pid": 7},
        (r.FORK, 7, 1, 1, 0),
    ),
    ("tlb:tlb_flush", {"reason": 0, "pages": -1}, (r.TLB_FLUSH, 0, 0xFFFFFFFF, 0, 0)),
    (
        "x86_fpu:x86_fpu_regs_deactivated",
        {"fpu": 99, "load_fpu": 1, "xfeatures": 3},
        (r.FPU_DEACTIVATED, 3, 1, 99, 0),
    ),
    (
        "compat_syscall_entry_ptrace",
        {"request": 6, "pid": 7, "addr": 0x1_0000_0118, "data": 0x401},
        (r.SYS_ENTER, r.SYS_PTRACE, 6, 7 | 0x118 << 32, r.ARG2_HIGH | r.ARG3_SET | r.ARG3_LOW8),
    ),
    (
        "syscalls:sys_enter_iopl",
        {"common_type": 5, "perf_ip": 9, "__syscall_nr": 172, "level": 3},
        (r.SYS_ENTER, r.SYS_IOPL, 3, 0, 0),
    ),
    ("syscalls:sys_exit_iopl", {"__syscall_nr": 172, "ret": -38}, (r.SYS_EXIT, r.SYS_IOPL, 0, -38, 0)),
    ("sys_iopl", {"level": 3}, (r.SYS_ENTER, r.SYS_IOPL, 3, 0, 0)),
    ("compat_sys_ioperm", {"from": 1, "num": 2, "on": 1}, (r.SYS_ENTER, r.SYS_IOPERM, 1, 2 | 1 << 32, 0)),
    ("exit_syscall", {"ret": 0}, (r.SYS_EXIT, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("name", "fields", "expected"), EVENTS, ids=[name for name, *_ in EVENTS])
def test_events_of_lttng_and_perf(
    name: str, fields: dict[str, object], expected: tuple[int, int, int, int, int]
) -> None:
    parse = parse_event(name)
    assert parse is not None
    assert parse(name, fields, intern([b"", b"x"])._intern) == expected


@needs_bt2
def test_the_end_of_a_call_that_is_not_named_is_that_of_the_threads_last_call(tmp_path: Path) -> None:
    made = Writer()
    made.switch(1000, (b"swapper/1", 0), 0, (b"alpha", 100))
    made.any_exit(1050, 5)  # of a call that is of no use
    made.old_iopl(1100, 3, 0)
    made.any_exit(1200, 5)
    made.switch(2000, (b"alpha", 100), 1, (b"beta", 200))
    made.old_iopl(2100, 3, -1)
    made.write(tmp_path)
    rows = drain(source(tmp_path))
    calls = [(row[0], row[2], row[4]) for row in rows if row[2] in (r.SYS_ENTER, r.SYS_EXIT)]
    assert calls == [
        *((1100, r.SYS_ENTER, 100), (1110, r.SYS_EXIT, 100)),
        *((2100, r.SYS_ENTER, 200), (2110, r.SYS_EXIT, 200)),
    ]
    events, _ = read(open_trace(str(tmp_path)))
    assert [event for event in events if event[0] == "IOPL"] == [("IOPL", 0, 3, 0)]


@pytest.mark.parametrize(
    "name", ["sys_read", "syscall_entry_read", "irq_handler_entry", "sched:sched_wakeup"]
)
def test_events_of_no_use_have_no_reader(name: str) -> None:
    assert parse_event(name) is None
