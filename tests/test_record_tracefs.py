"""The private instance: found, set up, and gone again however a recording ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pvreplay.errors import UsageError
from pvreplay.record import session
from pvreplay.record.tracefs import EVENT_SETS, Instance, Stats, find_tracefs, remove_stale
from tests.fake_tracefs import FakeTracefs, stats


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTracefs:
    return FakeTracefs(tmp_path / "tracing", monkeypatch)


def test_tracefs_is_where_it_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "a place" / "instances").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    place = str(tmp_path / "a place").replace(" ", "\\040")
    mounts.write_text(f"proc /proc proc rw 0 0\nnodev {place} tracefs rw 0 0\n")
    assert find_tracefs(str(mounts)) == str(tmp_path / "a place")


@pytest.mark.parametrize("content", ["proc /proc proc rw 0 0\n", None])
def test_without_tracefs_the_mount_command_is_told(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "mounts").write_text(content)
    with pytest.raises(UsageError) as raised:
        find_tracefs(str(tmp_path / "mounts"))
    assert "mount -t tracefs" in raised.value.hint


def test_an_instance_that_may_not_be_made_asks_for_root(
    fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, mode: int = 0) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(UsageError) as raised, Instance(str(fake.root)):
        raise AssertionError("made all the same")
    assert "Permission denied" in raised.value.message
    assert "root" in raised.value.hint


def test_an_instance_is_off_until_it_starts_and_gone_afterwards(fake: FakeTracefs) -> None:
    with Instance(str(fake.root)) as instance:
        assert fake.there == [f"pvreplay-{os.getpid()}"]
        assert instance.read("tracing_on") == "0"
        instance.start()
        assert instance.read("tracing_on") == "1"
    assert fake.there == []
    assert fake.left["tracing_on"] == "0"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, UsageError("no")])
def test_an_instance_is_gone_after_an_error(fake: FakeTracefs, error: type[BaseException]) -> None:
    with pytest.raises(BaseException), Instance(str(fake.root)) as instance:  # noqa: B017
        instance.start()
        raise error
    assert fake.there == []
    assert fake.left["tracing_on"] == "0"


def test_a_busy_instance_is_tried_again_and_told_in_the_end(
    fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pvreplay.record.tracefs.REMOVE_PAUSE_S", 0)
    fake.busy = 3
    with Instance(str(fake.root)):
        pass
    assert fake.there == []
    fake.busy = 1000
    with pytest.raises(UsageError) as raised, Instance(str(fake.root)):
        pass
    assert raised.value.hint.startswith("Remove it by hand: rmdir ")


def test_a_second_recording_under_the_same_name_is_refused_and_leaves_the_first_alone(
    fake: FakeTracefs,
) -> None:
    with Instance(str(fake.root), "x"):
        with pytest.raises(UsageError), Instance(str(fake.root), "x"):
            pass
        assert fake.there == ["x"]


def test_only_instances_of_dead_recorders_are_removed(fake: FakeTracefs, tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "77").mkdir(parents=True)
    for name in ("pvreplay-77", "pvreplay-78", "pvreplay-notes", "other-78"):
        os.mkdir(fake.root / "instances" / name)
    assert remove_stale(str(fake.root), str(proc)) == ["pvreplay-78"]
    assert fake.there == ["other-78", "pvreplay-77", "pvreplay-notes"]


# --- settings -------------------------------------------------------------------------------------


def test_the_settings_reach_the_kernel_in_its_words(fake: FakeTracefs) -> None:
    settings = session.Settings(cpus=[1], pid=os.getpid(), events="switch", buffer_bytes=(3 << 20) + 1)
    with Instance(str(fake.root)) as instance:
        session.set_up(instance, settings)
        assert instance.clock == "mono"
        assert instance.read("per_cpu", "cpu1", "buffer_size_kb") == "3073"
        assert instance.read("per_cpu", "cpu0", "buffer_size_kb") == "1410\n"
        assert str(os.getpid()) in instance.read("set_event_pid").split()
    assert fake.left["trace_clock"] == "mono"
    assert fake.left["tracing_cpumask"] == "2"
    assert fake.left["options/event-fork"] == "1"
    assert fake.left["sched:sched_switch"] == "1"


def test_without_options_the_buffers_share_what_is_allowed(
    fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Instance(str(fake.root)) as instance:
        session.set_up(instance, session.Settings())
    assert fake.left["buffer_size_kb"] == "8192"
    monkeypatch.setattr(session, "ALL_BUFFERS_BYTES", 2 << 20)  # 1 MiB each is less than the kernel gives
    with Instance(str(fake.root)) as instance:
        session.set_up(instance, session.Settings())
    assert fake.left["buffer_size_kb"] == "1410\n"


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [([0], "1"), ([0, 1, 5], "23"), ([32], "1,00000000"), ([0, 31, 33, 64], "1,00000002,80000001")],
)
def test_a_mask_of_cpus_has_32_bits_a_word(fake: FakeTracefs, cpus: list[int], mask: str) -> None:
    with Instance(str(fake.root)) as instance:
        instance.set_cpus(cpus)
    assert fake.left["tracing_cpumask"] == mask


def test_a_cpu_that_is_not_there_is_refused(fake: FakeTracefs) -> None:
    with pytest.raises(UsageError, match="no CPU 5"), Instance(str(fake.root)) as instance:
        session.set_up(instance, session.Settings(cpus=[0, 5]))
    assert fake.there == []


def test_events_the_kernel_lacks_are_told_and_the_others_are_on(fake: FakeTracefs) -> None:
    with Instance(str(fake.root)) as instance:
        session.set_up(instance, session.Settings())
        assert instance.enabled == [e for e in EVENT_SETS["full"] if e in fake.formats]
        assert set(instance.enabled) | set(instance.missing) == set(EVENT_SETS["full"])
    assert all(fake.left[event] == "1" for event in fake.formats)


def test_a_kernel_without_sched_switch_is_refused(fake: FakeTracefs) -> None:
    fake.formats = {}
    with pytest.raises(UsageError, match="no sched_switch"), Instance(str(fake.root)) as instance:
        session.set_up(instance, session.Settings())


@pytest.mark.parametrize(
    ("text", "clock"),
    [("[local] global perf\n", "perf"), ("local [global]\n", "global"), ("[local]\n", "local")],
)
def test_the_best_clock_there_is_gets_chosen(fake: FakeTracefs, text: str, clock: str) -> None:
    fake.files["trace_clock"] = text
    with Instance(str(fake.root)) as instance:
        assert instance.choose_clock() == clock


def test_clocks_that_do_not_count_time_are_refused(fake: FakeTracefs) -> None:
    fake.files["trace_clock"] = "[counter] x86-tsc\n"
    with pytest.raises(UsageError, match="none of mono"), Instance(str(fake.root)) as instance:
        instance.choose_clock()


def test_the_switch_set_is_part_of_the_full_one() -> None:
    assert set(EVENT_SETS["switch"]) < set(EVENT_SETS["full"])


def test_losses_and_the_clock_come_from_the_statistics() -> None:
    told = Stats(stats(now="6174.303921", overrun=5, dropped=2))
    assert (told.lost, told.now_ns) == (7, 6_174_303_921_000)
    assert Stats("now ts: 1234\n").now_ns == -1  # a counter
    assert Stats("").now_ns == -1
