"""What the tests of sources share: text to records, to events, and the compiled modules interpreted."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
from array import array
from pathlib import Path
from types import ModuleType

from pvreplay.sources import records as r
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.sources.textsource import TextSource
from pvreplay.trace.events import Kind, unpack
from pvreplay.trace.model import Task, Trace

DATA = Path(__file__).parent / "data"
NOFP = DATA / "sources-n64-nofp.trace.txt"
WEIRD = DATA / "sources-n64-weird.trace.txt"

Found = tuple[int, int, int, int, int, int, int, int]


def interpreted(name: str) -> ModuleType:
    """A compiled module of pvreplay.sources as plain Python."""
    path = Path(r.__file__).parent / f"{name}.py"
    loader = importlib.machinery.SourceFileLoader(f"interpreted{name}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def records_of(text: bytes, style: str = "ftrace", slow: bool = False, room: int = 64) -> list[Found]:
    """(time, cpu, type, flags, pid, a, b, c) of every record."""
    return drain(TextSource(io.BytesIO(text), style, slow=slow), room)


def drain(source: r.RawSource, room: int = 64) -> list[Found]:
    """All records of a source, asked for *room* at a time."""
    words = memoryview(array("Q", bytes(r.RECORD_BYTES * room)))
    found: list[Found] = []
    while count := source.fill(words, 0):
        for at in range(0, 4 * count, 4):
            w0, w1, w2, w3 = words[at : at + 4]
            found.append(
                (w0, w1 & 0xFFFF, w1 >> 16 & 0xFF, w1 >> 24 & 0xFF, w1 >> 32, w2 & 0xFFFFFFFF, w2 >> 32, w3)
            )
    return found


def switch(time: float, cpu: int, prev: str, pid: int, state: str, following: str, next_pid: int) -> str:
    """A sched_switch line of ftrace text."""
    return (
        f"{prev:>16}-{pid:<7} [{cpu:03}] d..2. {time:12.6f}: sched_switch: prev_comm={prev} prev_pid={pid} "
        f"prev_prio=120 prev_state={state} ==> next_comm={following} next_pid={next_pid} next_prio=120"
    )


def event(time: float, cpu: int, comm: str, pid: int, text: str) -> str:
    """Any other line of ftrace text."""
    return f"{comm:>16}-{pid:<7} [{cpu:03}] ..... {time:12.6f}: {text}"


def trace_of(*lines: str, **assume: str) -> RecoveredTrace:
    """The trace of ftrace text lines."""
    return RecoveredTrace(TextSource(io.BytesIO("\n".join(lines).encode() + b"\n"), "ftrace"), assume)


def read(trace: Trace) -> tuple[list[tuple[str, int, int, int]], dict[int, Task]]:
    """([(kind, cpu, arg, flags)], tasks by number) of a whole trace."""
    events, tasks = [], {}
    for chunk in trace.chunks():
        for task in chunk.tasks:
            tasks[task.id] = task
        for i in range(0, len(chunk.events), 2):
            _, cpu, kind, arg, flags = unpack(chunk.events[i], chunk.events[i + 1])
            events.append((Kind(kind).name, cpu, arg, flags))
    return events, tasks


def by_pid(tasks: dict[int, Task]) -> dict[int, Task]:
    """Tasks by pid; the last life of each."""
    return {task.pid: task for task in tasks.values()}
