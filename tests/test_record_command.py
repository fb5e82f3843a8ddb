"""The record command: what it refuses and prints; and the real kernel, where that is allowed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pvreplay.errors import UsageError
from pvreplay.record.tracefs import find_tracefs
from pvreplay.sources.detect import open_trace
from pvreplay.trace.events import Kind, unpack
from tests.cli_helpers import pvreplay, two_lines
from tests.fake_tracefs import FakeTracefs
from tests.test_record_session import ring


def _instances() -> str:
    try:
        return os.path.join(find_tracefs(), "instances")
    except UsageError:
        return ""


INSTANCES = _instances()


def recorders() -> set[str]:
    """The instances of recorders that are no more; others may be recording meanwhile."""
    names = {name for name in os.listdir(INSTANCES) if name.startswith("pvreplay-")}
    return {name for name in names if not os.path.exists(f"/proc/{name.removeprefix('pvreplay-')}")}


by_the_kernel = pytest.mark.skipif(
    not os.access(INSTANCES, os.W_OK), reason="tracefs is not mounted here, or not for this user"
)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTracefs:
    from tests.fake_tracefs import pages_of

    made = FakeTracefs(tmp_path / "tracing", monkeypatch)
    made.cpus = [pages_of(ring(1, 200)), pages_of(ring(2, 100))]
    monkeypatch.setattr("pvreplay.record.session.find_tracefs", lambda: str(made.root))
    monkeypatch.chdir(tmp_path)
    return made


def test_a_recording_ends_with_the_report_of_run(fake: FakeTracefs) -> None:
    done = pvreplay("record", "-o", "t.bin", "-b", "xen", "-k", "2.6.24", "-f", "json", "--", "true")
    assert done.code == 0
    again = pvreplay("run", "t.bin", "-b", "xen", "-k", "2.6.24", "-f", "json")
    assert done.out == again.out
    assert json.loads(done.out)["trace"]["switches"] == 300
    assert "300 switches" in pvreplay("record", "-b", "xen", "--", "true").out
    assert "0 events lost; t.bin: " in done.err
    assert "this kernel lacks " in done.err


def test_a_recording_is_not_written_to_a_pipe(fake: FakeTracefs) -> None:
    done = pvreplay("record", "-o", "-", "--", "true")
    assert done.code == 2 and two_lines(done.err) and "convert" in done.err
    assert not Path("-").exists()
    assert "300 switches" in pvreplay("record", "--report", "-", "--", "true").out


def test_a_full_disk_is_told_with_what_is_left(fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pvreplay.record.session._write", full)
    done = pvreplay("record", "--", "true")
    assert done.code == 2 and two_lines(done.err)
    assert "trace.bin: No space left" in done.err and "pvreplay run trace.bin --lenient" in done.err


def test_a_recording_without_an_end_says_how_to_end_it(
    fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pvreplay.record.session.record", interrupted)
    assert pvreplay("record").err == "pvreplay: recording until Ctrl-C\n"
    assert pvreplay("record", "--duration", "1").err == ""


def test_the_report_can_go_to_a_file_or_be_left_out(fake: FakeTracefs) -> None:
    assert pvreplay("record", "--report", "r.txt", "--", "true").out == ""
    assert "300 switches" in Path("r.txt").read_text()
    assert pvreplay("record", "--no-report", "--", "true").out == ""


def test_an_older_trace_is_kept(fake: FakeTracefs) -> None:
    Path("trace.bin").write_bytes(b"older")
    pvreplay("record", "--no-report", "--", "true")
    assert Path("trace.bin.old").read_bytes() == b"older"
    assert sum(len(chunk.events) for chunk in open_trace("trace.bin").chunks()) > 300


def test_the_exit_code_is_the_commands_or_the_reports(fake: FakeTracefs) -> None:
    assert pvreplay("record", "--no-report", "--", "sh", "-c", "exit 3").code == 3
    assert "status 3" in pvreplay("record", "--no-report", "--", "sh", "-c", "exit 3").err
    assert pvreplay("record", "-b", "xen", "--strict", "--", "true").code == 1  # W4 and W6
    fake.cpus = [b"", b""]
    nothing = pvreplay("record", "--", "true")
    assert nothing.code == 3
    assert "no switch" in nothing.err


def test_options_after_the_command_are_the_commands(fake: FakeTracefs) -> None:
    assert pvreplay("record", "--no-report", "test", "-o", "--strict").code == 2  # test(1)'s own opinion
    assert not Path("--strict").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--", "no-such-program-at-all"), "no such program"),
        (("--cpu", "700", "--", "true"), "no CPU 700"),
        (("--cpu", "x", "--", "true"), "expected CPUs"),
        (("--kernel", "9.9", "--", "true"), "9.9"),
        (("-b", "nosuch", "--", "true"), "nosuch"),
        (("--assume", "fpu=perhaps", "--", "true"), "perhaps"),
        (("--buffer", "many", "--", "true"), "expected a size"),
        (("-o", "nowhere/t.bin", "--", "true"), "no folder"),
        (("--pid", "1073741824"), "no such process"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_recorded(
    options: tuple[str, ...], told: str, fake: FakeTracefs
) -> None:
    done = pvreplay("record", *options)
    assert done.code == 2
    assert told in done.err
    assert two_lines(done.err)
    assert not Path("trace.bin").exists()
    assert fake.there == []


def test_without_tracefs_or_root_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pvreplay.record.session.find_tracefs", lambda: str(tmp_path / "none"))
    done = pvreplay("record", "--", "true")
    assert done.code == 2
    assert two_lines(done.err)
    assert "root" in done.err
    assert list(tmp_path.iterdir()) == []


# --- by the real kernel -----------------------------------------------------------------------------


def real(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-m", "pvreplay", "record", *map(str, args)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        input="given to the command\n",
    )


@by_the_kernel
def test_a_command_is_recorded(tmp_path: Path) -> None:
    before = recorders()
    script = "echo $$; cat; for i in 1 2 3 4 5; do sleep 0.01; done; exit 5"
    done = real(
        "-o", "t.bin", "-b", "xen", "-f", "json", "--report", "r.json", "--", "sh", "-c", script, cwd=tmp_path
    )
    assert done.returncode == 5, done.stderr
    pid, _, given = done.stdout.partition("\n")
    assert given == "given to the command\n"
    assert recorders() <= before
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["trace"]["switches"] >= 5
    assert report["trace"]["lost_events"] == 0
    assert report["doubts"]["out_of_order"] == 0
    trace = open_trace(str(tmp_path / "t.bin"))
    tasks, current, family, execs = {}, {}, set(), []
    for chunk in trace.chunks():
        tasks.update((task.id, task) for task in chunk.tasks)
        family |= {task.id for task in chunk.tasks if task.pid == int(pid)}
        for at in range(0, len(chunk.events), 2):
            _, cpu, kind, arg, _ = unpack(chunk.events[at], chunk.events[at + 1])
            if kind in (Kind.SWITCH, Kind.ON):
                current[cpu] = arg
            elif kind == Kind.FORK and current[cpu] in family:
                family.add(arg)
            elif kind == Kind.EXEC and current[cpu] in family:
                execs.append((current[cpu], arg))
    assert not trace.damage
    # Each of them got an mm of its own by an exec of its own, whatever order the CPUs ran in.
    assert sorted(tasks[task].comm for task in family) == ["cat", "sh", *["sleep"] * 5]
    assert sorted(task for task, _ in execs) == sorted(family)
    assert len({mm for _, mm in execs}) == 7


@by_the_kernel
def test_one_process_alone_is_recorded(tmp_path: Path) -> None:
    with subprocess.Popen(["sh", "-c", "while :; do sleep 0.01; done"]) as process:
        try:
            done = real("--no-report", "--pid", str(process.pid), "--duration", "0.5", cwd=tmp_path)
        finally:
            process.kill()
    assert done.returncode == 0, done.stderr
    ran = set()
    names = {0: "idle"}
    last: dict[int, int] = {}
    for chunk in open_trace(str(tmp_path / "trace.bin")).chunks():
        names.update((task.id, task.comm) for task in chunk.tasks)
        for at in range(0, len(chunk.events), 2):
            _, cpu, kind, arg, _ = unpack(chunk.events[at], chunk.events[at + 1])
            if kind == Kind.SWITCH:
                ran.add(frozenset({names[last.get(cpu, 0)], names[arg]}) & {"sh", "sleep"})
            if kind in (Kind.SWITCH, Kind.ON):
                last[cpu] = arg
    assert ran
    assert frozenset() not in ran  # one side of every switch is the process or a child


@by_the_kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_recording_in_order(number: int, tmp_path: Path) -> None:
    before = recorders()
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "pvreplay", "record", "-f", "json", "-b", "xen", "--report", "r.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "trace.bin").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert json.loads((tmp_path / "r.json").read_text())["trace"]["switches"] > 0
    assert recorders() <= before


@by_the_kernel
def test_a_killed_recording_can_be_read_and_its_instance_goes_with_the_next(tmp_path: Path) -> None:
    before = recorders()
    root = Path(__file__).parent.parent
    busy = "import os\nwhile True: os.sched_yield(); os.fork() or os._exit(0); os.wait()"
    with subprocess.Popen([sys.executable, "-c", busy]) as load:
        process = subprocess.Popen(
            [sys.executable, "-m", "pvreplay", "record", "--no-report"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        time.sleep(4)
        process.kill()
        process.wait()
        load.kill()
    left = recorders() - before
    assert f"pvreplay-{process.pid}" in left
    trace = open_trace(str(tmp_path / "trace.bin"))
    assert sum(len(chunk.events) for chunk in trace.chunks()) > 0
    assert "not closed" in trace.damage
    again = real("--no-report", "--duration", "0.1", cwd=tmp_path)
    assert f"pvreplay-{process.pid}" in again.stderr.partition("removed what killed recorders left: ")[2]
    assert recorders() <= before
