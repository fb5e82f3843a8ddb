"""Directories of perf record --threads: the files of the threads joined, in the order of their times."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvreplay.errors import TraceError
from pvreplay.sources.detect import open_trace
from pvreplay.trace.events import unpack
from tests.binary_files import (
    finished_round,
    perf_attr,
    perf_file,
    perf_record,
    perf_sample,
    switch_format,
    switch_payload,
)

COUNT = 30
EVENT = 319


def sample(number: int) -> bytes:
    """The switch of this number, on CPU number % 3."""
    pid = 10 * (number % 3) + 10
    prev, following = (pid, pid + 1) if number // 3 % 2 else (pid + 1, pid)
    payload = switch_payload(prev, following, b"t%d" % prev, b"t%d" % following)
    return perf_sample(payload, 1000 * (number + 1), cpu=number % 3, tid=prev)


def of_cpu(cpu: int) -> list[bytes]:
    return [sample(number) for number in range(cpu, COUNT, 3)]


def one_file(records: bytes) -> bytes:
    return perf_file([(perf_attr(EVENT), ())], records, {"sched": [switch_format(EVENT)]})


def found_in(path: Path) -> tuple[list[tuple[int, ...]], list[tuple[int, str, int]], str]:
    trace = open_trace(str(path))
    events, tasks = [], []
    for chunk in trace.chunks():
        tasks += [(task.id, task.comm, task.mm) for task in chunk.tasks]
        events += [unpack(chunk.events[at], chunk.events[at + 1]) for at in range(0, len(chunk.events), 2)]
    return events, tasks, trace.damage


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "one.data"
    path.write_bytes(one_file(b"".join(sample(number) for number in range(COUNT))))
    return path


def directory(tmp_path: Path, main: bytes, *parts: bytes) -> Path:
    path = tmp_path / "threads"
    path.mkdir()
    (path / "data").write_bytes(one_file(main))
    for number, part in enumerate(parts):
        (path / f"data.{number}").write_bytes(part)
    return path


@pytest.mark.parametrize("rounds", [False, True])
def test_the_parts_give_what_one_file_does(rounds: bool, whole: Path, tmp_path: Path) -> None:
    mark = finished_round() if rounds else b""
    parts = [mark.join(of_cpu(cpu)) + mark for cpu in range(3)]
    events, tasks, damage = found_in(directory(tmp_path, *parts))
    assert sum(kind == 1 for _, _, kind, *_ in events) == COUNT
    assert (events, tasks, damage) == found_in(whole)


def test_files_are_put_in_the_order_of_their_numbers_and_others_left_alone(tmp_path: Path) -> None:
    parts = [b"".join(of_cpu(0))] + [b""] * 9 + [b"".join(of_cpu(1))]
    path = directory(tmp_path, b"", *parts)
    (path / "data.old").write_bytes(b"not of it")
    (path / "data.x1").write_bytes(b"nor this")
    assert len([1 for event in found_in(path)[0] if event[2] == 1]) == 2 * COUNT // 3


def test_it_is_told_as_the_directory_and_its_features_are_found(tmp_path: Path) -> None:
    trace = open_trace(str(directory(tmp_path, b"", b"".join(of_cpu(0)))))
    assert trace.meta.path == str(tmp_path / "threads")
    assert trace.meta.format == "perf.data"


def test_a_cut_part_gives_its_whole_records_and_the_other_parts(tmp_path: Path) -> None:
    last = len(of_cpu(0)[-1])
    path = directory(tmp_path, b"", b"".join(of_cpu(0))[:-5], b"".join(of_cpu(1)))
    events, _, damage = found_in(path)
    assert sum(event[2] == 1 for event in events) == 2 * COUNT // 3 - 1
    assert (
        damage == f"data.0: the last {last - 5} of {sum(map(len, of_cpu(0))) - 5} bytes are no whole record"
    )


def test_a_record_without_a_length_ends_its_part(tmp_path: Path) -> None:
    part = b"".join(of_cpu(0))
    path = directory(tmp_path, b"", part + struct.pack("<IHH", 9, 0, 0) + bytes(100), b"".join(of_cpu(1)))
    events, _, damage = found_in(path)
    assert sum(event[2] == 1 for event in events) == 2 * COUNT // 3
    assert damage.startswith("data.0: the last 108 of ")


def test_packed_parts_are_refused(tmp_path: Path) -> None:
    path = directory(tmp_path, b"", perf_record(81, b"packed  "))
    with pytest.raises(TraceError, match="packed what they wrote") as told:
        open_trace(str(path))
    assert told.value.hint == "Record without -z."


@pytest.mark.parametrize("size", [50, 103])
def test_a_header_that_is_cut_is_refused_by_the_directorys_name(size: int, tmp_path: Path) -> None:
    path = directory(tmp_path, b"")
    (path / "data").write_bytes((path / "data").read_bytes()[:size])
    with pytest.raises(TraceError, match=r"threads: data ends inside its header"):
        open_trace(str(path))


def test_nothing_is_left_of_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert found_in(directory(tmp_path, b"", b"".join(of_cpu(0))))[0]
    assert not list(temporary.iterdir())


def test_a_directory_with_the_kernels_code_beside_the_data_is_read(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "kcore"
    (path / "kcore_dir").mkdir(parents=True)
    (path / "kcore_dir" / "kallsyms").write_bytes(b"0 t x\n")
    (path / "data").write_bytes(whole.read_bytes())
    assert found_in(path) == found_in(whole)
