"""A tracefs of ordinary files: instances fill themselves when they are made, and tell how they were left.

Its files are those of Linux 6.18 that a recorder may touch; one it should not touch, or whose name is
wrong, is not there, and writing it fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests import binary_files as b

CLOCKS = "[local] global counter uptime perf mono mono_raw boot tai x86-tsc\n"
FILES = {
    "tracing_on": "1\n",
    "trace_clock": CLOCKS,
    "buffer_size_kb": "1410\n",
    "buffer_percent": "50\n",
    "tracing_cpumask": "3\n",
    "set_event_pid": "",
    "options/event-fork": "0\n",
    "events/header_page": b.header_page(),
}
FORMATS = {
    "sched:sched_switch": b.switch_format(),
    "task:task_newtask": b.NEWTASK_FORMAT,
    "sched:sched_process_exec": b.EXEC_FORMAT,
}


def stats(now: str = "0.000000", overrun: int = 0, dropped: int = 0) -> str:
    """A per_cpu/cpuN/stats file."""
    return (
        f"entries: 0\noverrun: {overrun}\ncommit overrun: 0\nbytes: 0\n"
        f"oldest event ts:     0.000000\nnow ts:  {now}\ndropped events: {dropped}\nread events: 0\n"
    )


class FakeTracefs:
    """*cpus*: the pages of each CPU, and *stats* their statistics.

    *left*: file -> what it held when an instance was removed; *made*: the instances ever made.
    *on_start* is called with the instance's folder when tracing is switched on in it.
    """

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, cpus: Sequence[bytes] = (b"", b"")
    ) -> None:
        self.root = root
        self.cpus = list(cpus)
        self.stats = [stats() for _ in self.cpus]
        self.formats: Mapping[str, str] = FORMATS
        self.files: dict[str, str] = dict(FILES)
        self.left: dict[str, str] = {}
        self.made: list[str] = []
        self.busy = 0
        """How many times rmdir finds an instance busy."""
        (root / "instances").mkdir(parents=True)
        self._mkdir, self._rmdir = os.mkdir, os.rmdir
        monkeypatch.setattr(os, "mkdir", self._make)
        monkeypatch.setattr(os, "rmdir", self._remove)

    @property
    def there(self) -> list[str]:
        """The instances that exist now."""
        return sorted(os.listdir(self.root / "instances"))

    def _ours(self, path: object) -> bool:
        return Path(str(path)).parent == self.root / "instances"

    def _make(self, path: str, *args: int, **named: int) -> None:
        self._mkdir(path, *args, **named)
        if not self._ours(path):
            return
        self.made.append(Path(path).name)
        files = {**self.files}
        for event, text in self.formats.items():
            folder = "events/" + event.replace(":", "/")
            files |= {f"{folder}/enable": "0\n", f"{folder}/format": text}
        for cpu, text in enumerate(self.stats):
            files |= {f"per_cpu/cpu{cpu}/stats": text, f"per_cpu/cpu{cpu}/buffer_size_kb": "1410\n"}
        for name, text in files.items():
            file = Path(path) / name
            os.makedirs(file.parent, exist_ok=True)
            file.write_text(text)
        for cpu, pages in enumerate(self.cpus):
            (Path(path) / f"per_cpu/cpu{cpu}/trace_pipe_raw").write_bytes(pages)

    def _remove(self, path: str, **named: int) -> None:
        if not self._ours(path):
            self._rmdir(path, **named)
            return
        if self.busy:
            self.busy -= 1
            raise OSError(16, "Device or resource busy", path)
        for name in self.files:
            self.left[name] = (Path(path) / name).read_text() if (Path(path) / name).exists() else ""
        for event in self.formats:
            file = Path(path) / ("events/" + event.replace(":", "/")) / "enable"
            if file.exists():
                self.left[event] = file.read_text()
        os.rmdir = self._rmdir  # for rmtree
        shutil.rmtree(path)
        os.rmdir = self._remove


def pages_of(times_and_pids: Sequence[tuple[int, int, int]], each: int = 20) -> bytes:
    """Pages of switches (time, prev, next), *each* on a page; times rise."""
    pages = b""
    for at in range(0, len(times_and_pids), each):
        part = times_and_pids[at : at + each]
        now = part[0][0]
        events = b""
        for time, prev, following in part:
            payload = b.switch_payload(prev, following, f"t{prev}".encode(), f"t{following}".encode())
            events += b.ring_event(time - now, payload)
            now = time
        pages += b.ring_page(part[0][0], events)
    return pages


Make = Callable[..., FakeTracefs]
