"""What the tests of the gate share: a trace, a kernel file, a repository, the command in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pvreplay.__main__ import main
from pvreplay.gate.entry import BackendEntry, Entry, PathStep
from pvreplay.gate.match import Measured
from pvreplay.replay.result import Totals
from tests.report_samples import report

HOSTILE_COMM = r'"evil\x1b[31m\x07\xe2\x80\xae<b>[red]\xff::error::"'

TRACE = f"""\
# pvreplay trace 1
cpus 1
task 1 comm=make pid=11 mm=1 iopl=3
task 2 comm={HOSTILE_COMM} pid=12 mm=2
on 0 1
"""
"""Two tasks of different IOPL; :func:`trace_text` adds the switches."""

KERNEL = 'extends = "2.6.21"\niopl = "posted"\n'
MOVED = KERNEL + '[[change]]\nmove = "set_iopl"\nafter = "leave_lazy_cpu"\n'
"""The IOPL write after the batch: it has to cross by itself."""
EARLY = KERNEL + '[[change]]\nmove = "leave_lazy_cpu"\nafter = "load_esp0"\n'
"""The batch ends before the TLS slots and IOPL are written."""


def trace_text(switches: int = 23, extra: str = "") -> str:
    """*switches* switches to and fro, then *extra* lines."""
    lines = [f"0.{number:09} 0 switch {2 - number % 2}" for number in range(switches)]
    return TRACE + "\n".join(lines) + "\n" + extra


class Repository:
    """A folder with a trace and a kernel file, and the gate run in it."""

    def __init__(self, folder: Path, capsys: Any) -> None:
        self.folder = folder
        self.capsys = capsys
        self.write("trace.txt", trace_text())
        self.write("my.toml", KERNEL)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str = "pvreplay-baseline.toml") -> str:
        return (self.folder / name).read_text()

    def gate(self, *args: str, kernel: str | None = "my.toml", trace: str | None = "trace.txt") -> Done:
        """``pvreplay gate`` in this process."""
        words = [word for word in (trace, *(("--kernel", kernel) if kernel else ())) if word]
        return self.run("gate", *words, *args)

    def run(self, *args: str) -> Done:
        self.capsys.readouterr()
        code = main(list(args))
        out, err = self.capsys.readouterr()
        return Done(code, out, err)

    def verdict(self, *args: str, **options: Any) -> dict[str, Any]:
        """The verdict as JSON; its exit code must be the command's."""
        done = self.gate(*args, "--format", "json", **options)
        found = json.loads(done.out)
        assert found["exit_code"] == done.code
        return found


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def checks(verdict: dict[str, Any], status: str) -> set[tuple[str, str]]:
    """(backend, metric) of the checks of *status*."""
    return {(check["backend"], check["metric"]) for check in verdict["checks"] if check["status"] == status}


# --- values --------------------------------------------------------------------------------------


def backend(**changes: Any) -> BackendEntry:
    """100 hypercalls, most of them of one op."""
    fields: dict[str, Any] = {
        "model": "b0",
        "hypercalls": 100,
        "entries": 300,
        "traps": 0,
        "rom_calls": 0,
        "op": {
            "leave_lazy_cpu": Totals(hypercalls=100, count=100),
            "load_tls": Totals(entries=300, count=100),
        },
        "shape": {"mm_differs": Totals(hypercalls=100, entries=300, count=100)},
        "task": {"make-1": Totals(hypercalls=100, entries=300, count=100)},
    }
    return BackendEntry(**(fields | changes))


def entry(**changes: Any) -> Entry:
    """A trace of 100 switches on one backend."""
    fields: dict[str, Any] = {
        "digest": "xxh3:0",
        "events": 200,
        "switches": 100,
        "lost_events": 0,
        "written_by": "0.1.0",
        "model": 1,
        "rules": "r0",
        "kernel_base": "2.6.21 k0",
        "path": [PathStep(step="load_tls", ops="load_tls")],
        "backend": {"xen": backend()},
    }
    return Entry(**(fields | changes))


def measured(now: Entry, **changes: Any) -> Measured:
    """A run of *now*."""
    fields: dict[str, Any] = {
        "name": "trace.bin",
        "path": "traces/trace.bin",
        "kernel": "2.6.21",
        "kernel_path": "2.6.21.toml",
        "lineage": ("2.6.21",),
        "report": report(switches=now.switches, events=now.events, lost_events=now.lost_events),
        "entry": now,
    }
    return Measured(**(fields | changes))


def changed(value: Any, **changes: Any) -> Any:
    """A copy of the struct *value* with *changes*."""
    return msgspec.structs.replace(value, **changes)
