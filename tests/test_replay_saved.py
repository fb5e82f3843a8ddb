"""Histograms in files: what is saved comes back, and sums are what replaying all would count."""

from __future__ import annotations

import json

import pytest

from pvreplay.errors import TraceError, UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.shape import GUARDS, TLS_SHIFT, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.histogram import Histogram
from pvreplay.replay.run import replay
from pvreplay.replay.saved import SCHEMA, add, decode, encode
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import ListTrace
from pvreplay.trace.model import Meta, Origin, Task
from tests.replay_traces import random_trace

KERNEL = load_kernel("2.6.31")


def small(name: str = "a", op: str = "clts", path: str = "t.bin", seconds: int = 1) -> Histogram:
    """Two switches between *name* and cc1, a section, and a window of one op."""
    events = [
        (0, 0, Kind.SWITCH, 1),
        (1, 0, Kind.SWITCH, 2),
        (2, 0, Kind.ENTER_MMU),
        (3, 0, Kind.SET_PTE, 7),
        (4, 0, Kind.LEAVE_MMU),
        (5, 1, Kind.BEGIN, 1),
        (6, 1, Kind.OP, 1 << 16),
        (seconds * 10**9, 1, Kind.END),
    ]
    meta = Meta(path=path, format="memory", cpus=2, ops=(op,), state={"fpu": Origin("observed", "x86_fpu")})
    return replay(ListTrace(events, [Task(1, name, pid=7, mm=1), Task(2, "cc1", mm=2)], [], meta), KERNEL)


def counts(hist: Histogram) -> dict[tuple[object, ...], int]:
    """Count of each unit by what it is, not by numbers that depend on the file."""
    names = {0: "idle", **{number: task.comm for number, task in hist.tasks.items()}}
    return {
        (
            row.unit_type,
            hist.sequences[row.payload] if row.unit_type == UNIT_SEQ else row.payload,
            row.cpu,
            names[row.task],
        ): row.count
        for row in hist.rows
    }


def test_a_histogram_comes_back_as_it_was_saved() -> None:
    for hist in (small(), replay(random_trace(3, 3000), KERNEL), replay(ListTrace([]), KERNEL)):
        back = decode(encode(hist))
        assert counts(back) == counts(hist)
        assert back.rows == hist.rows
        for name in (
            "kernel",
            "rules",
            "sequences",
            "events",
            "switches",
            "doubts",
            "lost_events",
            "nr_tasks",
        ):
            assert getattr(back, name) == getattr(hist, name)
        assert (back.duration_ns, back.nr_cpus) == (hist.duration_ns, hist.nr_cpus)
        assert (back.meta.path, back.meta.ops, back.meta.state) == (
            hist.meta.path,
            hist.meta.ops,
            hist.meta.state,
        )
        assert encode(back) == encode(hist)


def test_the_file_is_small_and_readable_json() -> None:
    told = json.loads(encode(small()))
    assert told["schema"] == SCHEMA
    assert told["sequences"] == [["enter_mmu", "set_pte:7", "leave_mmu"], ["begin", "op:65536", "end"]]
    assert told["tasks"] == [[1, "a", 7], [2, "cc1", -1]]
    assert len(encode(small())) < 2000


@pytest.mark.parametrize("name", ["", "a b", 'q"\\', "\x1b[31m", "\udcff\udc80x", "naïve", "x" * 300])
def test_any_task_name_survives(name: str) -> None:
    assert decode(encode(small(name))).tasks[1].comm == name


def test_the_sum_of_a_histogram_with_itself_counts_everything_twice() -> None:
    hist = replay(random_trace(4, 3000), KERNEL)
    total = add([hist, hist])
    assert counts(total) == {what: 2 * number for what, number in counts(hist).items()}
    for name in ("events", "switches", "lost_events"):
        assert getattr(total, name) == 2 * getattr(hist, name)
    assert total.doubts == {name: 2 * number for name, number in hist.doubts.items()}
    assert total.duration_ns == 2 * hist.duration_ns


def test_tasks_of_one_name_become_one_and_the_others_stay_apart() -> None:
    total = add([small("make"), small("make"), small("ld")])
    assert sorted(task.comm for task in total.tasks.values()) == ["cc1", "ld", "make"]
    assert all(task.pid == -1 for task in total.tasks.values())
    assert counts(total)[UNIT_SWITCH, 1, 0, "cc1"] == 3


def test_ops_are_renumbered_into_one_table() -> None:
    total = add([small(op="clts"), small(op="load_tls")])
    assert total.meta.ops == ("clts", "load_tls")
    windows = [s for s in total.sequences if s[0] >> 56 == Kind.BEGIN]
    assert [s[1] & 0xFFFF_FFFF for s in windows] == [1 << 16, 1 << 16 | 1]


def test_state_is_as_certain_as_where_it_is_least_certain() -> None:
    unsure = small()
    unsure.meta.state = {"fpu": Origin("assumed", "", "--assume fpu=always")}
    assert add([small(), unsure, small()]).meta.state["fpu"].how == "assumed"


def test_a_sum_is_named_after_its_parts_and_keeps_their_damage() -> None:
    parts = [small(path=f"{name}.bin") for name in "abcde"]
    parts[1].damage = "cut"
    total = add(parts)
    assert total.meta.path == "a.bin + b.bin + c.bin + 2 more"
    assert total.damage == "b.bin: cut"
    assert decode(encode(total)).meta.path == total.meta.path


def test_histograms_of_different_kernels_do_not_add() -> None:
    other = replay(random_trace(1, 10), load_kernel("2.6.21"))
    with pytest.raises(UsageError, match=r"2\.6\.21, not 2\.6\.31"):
        add([small(), other])
    same_name = small()
    same_name.rules = {**same_name.rules, "parks": False}
    with pytest.raises(UsageError, match="with other rules"):
        add([small(), same_name])


def test_guards_are_found_by_name_when_another_version_numbered_them_differently() -> None:
    hist = small()
    told = json.loads(encode(hist))
    moved = [told["guards"][-1], *told["guards"][:-1]]
    where = {name: bit for bit, name in enumerate(moved)}

    def renumbered(shape: int) -> int:
        guards = sum(1 << where[name] for name, bit in GUARDS.items() if shape >> bit & 1)
        return guards | shape >> TLS_SHIFT << TLS_SHIFT

    told["guards"] = moved
    for row in told["rows"]:
        if row[0] == UNIT_SWITCH:
            row[1] = renumbered(row[1])
    assert decode(json.dumps(told).encode()).rows == hist.rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "pvreplay.histogram/2", "rows": {}}, r"schema 'pvreplay\.histogram/2'"),
        ({"guards": ["of_another_version"]}, "of_another_version"),
        ({"rows": [[3, 9, 0, 0, 1, 0, 0, 0]]}, "sequence 9 of 2"),
        ({"rows": [[0, 0, 0, 99, 1, 0, 0, 0]]}, "task 99"),
        ({"rows": [[4, 0, 0, 0, 1, 0, 0, 0]]}, "row"),
        ({"rows": [[0, 0, 0, 0, 0, 0, 0, 0]]}, "row"),
        ({"rows": [[0, 0]]}, "not a saved histogram"),
        ({"sequences": [["op:5"]]}, "op:5 with 1 ops"),
        ({"sequences": [["leap"]]}, "leap"),
        ({"sequences": [["set_pte:x"]]}, "damaged"),
        ({"surprise": 1}, "surprise"),
        ({"switches": "many"}, "switches"),
    ],
)
def test_a_file_that_is_no_histogram_is_refused(change: dict[str, object], said: str) -> None:
    told = {**json.loads(encode(small())), **change}
    with pytest.raises(TraceError, match=said) as refused:
        decode(json.dumps(told).encode(), "h.json")
    assert refused.value.message.startswith("h.json: ")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": "pvreplay.report/1"}'])
def test_other_bytes_are_refused_too(data: bytes) -> None:
    with pytest.raises(TraceError, match="not a saved histogram"):
        decode(data)
