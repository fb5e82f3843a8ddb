"""xentrace files: counted as xenalyze counts them, refused for a replay, with the reason."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from pvreplay.sources import xentrace
from pvreplay.sources.detect import open_trace
from pvreplay.trace.summary import Summary, summarise
from tests.cli_helpers import pvreplay
from tests.source_tools import interpreted

TRACES = Path(__file__).parent.parent / "traces"
GUEST = TRACES / "guest-xen.xentrace"
"""PV events of a dom0 with 8 threads that pass a token round; xenalyze (4.17) shows the counts below."""


@pytest.fixture(params=["compiled", "interpreted"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "interpreted":
        monkeypatch.setattr(xentrace, "engine", interpreted("_xentrace_cy"))


def record(event: int, words: Sequence[int] = (), cycles: int | None = None) -> bytes:
    head = event | len(words) << 28 | (0 if cycles is None else 1 << 31)
    return struct.pack("<I", head) + (b"" if cycles is None else struct.pack("<Q", cycles)) + words_of(words)


def words_of(words: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def on_cpu(cpu: int, *records: bytes) -> bytes:
    """What a CPU wrote, behind the record that says which."""
    content = b"".join(records)
    return record(0x1F003, [cpu, len(content)]) + content


def survey(tmp_path: Path, content: bytes) -> Summary:
    path = tmp_path / "recording"
    path.write_bytes(content)
    return summarise(open_trace(str(path)))


def test_a_guest_is_counted_as_xenalyze_counts_it() -> None:
    counts = summarise(open_trace(str(GUEST))).counts
    calls, inside = counts[xentrace.BY_CALL], counts[xentrace.IN_MULTICALLS]
    assert (calls["stack_switch"], calls["set_segment_base"], calls["multicall"]) == (596, 600, 21)
    assert counts[xentrace.BY_EVENT]["emulate_privop"] == 605
    assert sum(calls.values()) == counts[xentrace.BY_EVENT]["hypercall"]
    assert sum(inside.values()) == counts[xentrace.BY_EVENT]["hypercall_in_multicall"]


def test_every_kind_of_record(tmp_path: Path) -> None:
    summary = survey(
        tmp_path,
        on_cpu(
            1,
            record(0x20100D, [3 | 1 << 20, 5, 6], 900),  # the bits above say which arguments follow
            record(0x20100D, [70], 901),
            record(0x20200E, [26], 902),
            record(0x201001, [0xC0100000, 25], 903),  # before Xen 4.3, 32 bits and 64
            record(0x201101, [0x80100000, 0xFFFF8280, 25], 904),
            record(0x201106, [1, 2], 905),
            record(0x201006, [1], 905),
            record(0x21211, [1], 906),
            record(0x28004, [1]),
            record(0x22203, [1, 2, 3], 907),
            record(0xABC123),
            record(0x1F001, [40, 0, 1, 2], 908),
        )
        + on_cpu(0),
    )
    assert summary.counts == {
        xentrace.BY_EVENT: {
            "lost_records": 1,
            "cpu_change": 2,
            "runstate_change": 1,
            "sched 0x22203": 1,
            "wake": 1,
            "hypercall": 4,
            "emulate_privop": 2,
            "hypercall_in_multicall": 1,
            "event 0xabc123": 1,
        },
        xentrace.BY_CALL: {"stack_switch": 1, "set_segment_base": 2},
        xentrace.IN_MULTICALLS: {"mmuext_op": 1},
    }
    assert summary.doubts == {"hypercalls_of_unknown_number": 1}
    assert (summary.lost_events, summary.cpus, summary.damage) == (40, 2, "")


def test_records_over_the_ends_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xentrace, "BLOCK", 64)
    content = on_cpu(0, *(record(0x20100D, [at % 40, 0, 0], at) for at in range(500)))
    assert sum(survey(tmp_path, content).counts[xentrace.BY_CALL].values()) == 500


def test_more_kinds_of_events_than_there_is_room_for(tmp_path: Path) -> None:
    content = on_cpu(0, *(record(0x80000 + at) for at in range(4000)))
    summary = survey(tmp_path, content)
    assert sum(summary.counts[xentrace.BY_EVENT].values()) == 3072
    assert summary.doubts == {"events_not_told_apart": 4001 - 3072}


def test_a_cut_file_is_counted_up_to_the_cut(tmp_path: Path) -> None:
    content = on_cpu(0, record(0x20100D, [3], 5), record(0x20100D, [3], 6))
    for cut in (1, 8, 15):
        summary = survey(tmp_path, content[:-cut])
        assert summary.counts[xentrace.BY_CALL] == {"stack_switch": 1}
        assert summary.damage == "the file ends inside the record at offset 0x1c"


def test_it_is_recognised_when_packed(tmp_path: Path) -> None:
    packed = survey(tmp_path, gzip.compress(GUEST.read_bytes()))
    assert packed.counts == summarise(open_trace(str(GUEST))).counts
    assert not xentrace.sniff(b"\x03\xf0\x01\x10")


def test_info_shows_the_totals() -> None:
    done = pvreplay("info", str(GUEST))
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["stack_switch", "596"] in lines
    assert ["hypercall", "4,029"] in lines
    page = json.loads(pvreplay("info", str(GUEST), "--format", "json").out)
    assert page["counts"]["Hypercalls"]["set_segment_base"] == 600


@pytest.mark.parametrize("command", ["run", "convert", "dump"])
def test_it_is_not_replayed_and_the_reason_is_given(command: str, tmp_path: Path) -> None:
    target = [str(tmp_path / "out.bin")] if command == "convert" else []
    done = pvreplay(command, str(GUEST), *target)
    assert done.code == 3
    assert "596 stack_switch hypercalls), not which tasks ran" in done.err
    assert "Record sched_switch in the guest" in done.err


def test_records_one_by_one_add_up_to_the_totals(tmp_path: Path) -> None:
    data = GUEST.read_bytes()
    reader = xentrace.read_records(data)
    calls: dict[str, int] = {}
    end = -1
    while end < 0:
        try:
            call = next(reader).call
        except StopIteration as over:
            end = over.value
            break
        if call:
            calls[call] = calls.get(call, 0) + 1
    file = xentrace.open(str(GUEST))
    for _ in file.survey():
        pass
    assert calls == file.counts[xentrace.BY_CALL]
    assert end == len(data)


def test_records_know_their_cpu_and_the_call_of_older_hypervisors() -> None:
    old = record(0x201101, (0xFFFF8000, 0x1234, 25))
    data = on_cpu(3, record(0x20110D, (26,)), old) + on_cpu(1, record(0x201106, (1, 2), cycles=5)) + b"\1\2"
    found = [(each.cpu, each.event, each.call) for each in xentrace.read_records(data)]
    assert found == [
        (3, 0x1F003, ""),
        (3, 0x20100D, "mmuext_op"),
        (3, 0x201001, "set_segment_base"),
        (1, 0x1F003, ""),
        (1, 0x201006, ""),
    ]
