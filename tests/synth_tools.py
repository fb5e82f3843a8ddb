"""What the tests of synthetic traces share: events as tuples, the generator interpreted, goldens.

``python -m tests.synth_tools`` writes the goldens again; read the difference before it is committed.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pvreplay.synth
from pvreplay.synth import make, workload_names
from pvreplay.trace.events import unpack
from pvreplay.trace.model import Trace
from pvreplay.trace.text_write import write_text

DATA = Path(__file__).with_name("data")
DIGESTS = DATA / "synth_digests.txt"
"""``WORKLOAD DIGEST``: :func:`digest_of` of every workload."""
PINGPONG = DATA / "pingpong23.txt"
"""The text form of ``pvreplay synth pingpong --switches 23 --seed 1``."""


def events_of(trace: Trace) -> Iterator[tuple[int, int, int, int, int]]:
    """(time_ns, cpu, kind, arg, flags) of every event."""
    for chunk in trace.chunks():
        words = chunk.events
        for at in range(0, len(words), 2):
            yield unpack(words[at], words[at + 1])


def words_of(trace: Trace) -> bytes:
    """The events as they stand in a file, with tasks and ``on`` before those of each chunk."""
    parts = []
    for chunk in trace.chunks():
        parts.append(repr((chunk.tasks, chunk.on)).encode())
        parts.append(bytes(chunk.events))
    return b"".join(parts)


def interpreted(name: str) -> ModuleType:
    """The module pvreplay/synth/NAME.py as plain Python, whether it is compiled or not."""
    path = Path(pvreplay.synth.__file__).with_name(f"{name}.py")
    loader = importlib.machinery.SourceFileLoader(f"interpreted{name}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def digest_of(name: str) -> str:
    """SHA-256 of the events (not the tasks) of 1000 switches on 4 CPUs with seed 1."""
    digest = hashlib.sha256()
    for chunk in make(name, switches=1000, seed=1, cpus=4).chunks():
        digest.update(chunk.events)
    return digest.hexdigest()


def pingpong_text() -> bytes:
    """The known workload as text."""
    out = io.BytesIO()
    write_text(make("pingpong", switches=23, seed=1), out)
    return out.getvalue()


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    DIGESTS.write_text("".join(f"{name} {digest_of(name)}\n" for name in workload_names()))
    PINGPONG.write_bytes(pingpong_text())
