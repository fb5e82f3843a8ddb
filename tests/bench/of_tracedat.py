"""trace.dat: `pvreplay run` beside trace-cmd, whole processes, the same file, packed and not.

The file is recorded here and now, of `perf bench sched pipe`, with the events of `perf sched record`.
Where `trace-cmd record` may not (it opens the function tracer's files, which a locked-down kernel
refuses), the events are switched on by hand and `trace-cmd extract` writes the same file.  Where
nothing can be traced, or without trace-cmd's ``convert``, the file is built from pages of switches.

PVREPLAY_BENCH_EVENTS is how many events make a large recording (default 5,000,000).  Starting takes us
longer than a million events, so there are more: twice as many packed, for which trace-cmd's time grows
faster than the file, and three times as many not packed.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

from tests import binary_files as b
from tests.bench.lines import Line
from tests.bench.of_binary import EVENTS, beside

PACKED_EVENTS, PLAIN_EVENTS = 2 * EVENTS, 3 * EVENTS
NAMES = (
    *("sched_switch", "sched_stat_runtime", "sched_process_fork", "sched_wakeup_new", "sched_migrate_task"),
    "sched_waking",
)
EVENT_BYTES = 60
"""Bytes of an event in a buffer, or a little less."""
TRACEFS = Path("/sys/kernel/tracing")
SLOW_RUNS = 1
"""A peer that takes many seconds is run once."""


def events_of(path: Path) -> int:
    """Every event of a trace.dat, read or not."""
    from pvreplay.sources import _ring_cy as ring
    from pvreplay.sources import tracepoints as tp
    from pvreplay.sources.pages import page_layout
    from pvreplay.sources.streams import map_file
    from pvreplay.sources.tracedat_data import pieces
    from pvreplay.sources.tracedat_head import TraceDat

    mapped = map_file(str(path))
    dat = TraceDat(mapped, str(path), tp.WANTED)
    if dat.head.page is None:
        return 0
    words = memoryview(bytearray(32 * 32768)).cast("Q")
    every = bytearray(b"\1") * 65536
    total = 0
    for buffer in dat.buffers:
        size = buffer.page_size or dat.head.page.page_size
        layout = page_layout(dat.head.page, size)
        for cpu in buffer.cpus:
            for piece in pieces(dat, cpu, mapped, size, 64 * size) if cpu.size else ():
                data = memoryview(piece.load()[0])
                state = array("Q", bytes(8 * ring.STATE_INTS))
                while found := ring.scan(data, len(data), layout, every, 0, 1, words, 0, 32768, state):
                    total += found
                piece.release()
    return total


def quiet(*command: str) -> bool:
    """Run a command whose output nobody reads; whether it succeeded."""
    return subprocess.run(command, capture_output=True).returncode == 0


def by_record(path: Path, loops: int, buffer_kib: int) -> bool:
    """`trace-cmd record`, as a user does it."""
    asked = [word for name in NAMES for word in ("-e", f"sched:{name}")]
    before = (TRACEFS / "buffer_size_kb").read_text().split()[0]
    done = quiet(
        *("trace-cmd", "record", "-q", "-o", str(path), "-b", str(buffer_kib), *asked),
        *("perf", "bench", "sched", "pipe", "-l", str(loops)),
    )
    if not done:  # it leaves what it had set so far
        (TRACEFS / "buffer_size_kb").write_text(before)
        (TRACEFS / "tracing_on").write_text("1")
    return done and path.exists()


def by_extract(path: Path, loops: int, buffer_kib: int) -> bool:
    """The same through tracefs and `trace-cmd extract`; every setting is as before afterwards."""
    size, switch = TRACEFS / "buffer_size_kb", TRACEFS / "tracing_on"
    enabled = [TRACEFS / "events" / "sched" / name / "enable" for name in NAMES]
    before = size.read_text().split()[0]
    switch.write_text("0")
    try:
        (TRACEFS / "trace").write_text("")
        size.write_text(str(buffer_kib))
        for file in enabled:
            file.write_text("1")
        switch.write_text("1")
        quiet("perf", "bench", "sched", "pipe", "-l", str(loops))
        switch.write_text("0")
        return quiet("trace-cmd", "extract", "-o", str(path)) and path.exists()
    finally:
        for file in enabled:
            file.write_text("0")
        (TRACEFS / "trace").write_text("")
        size.write_text(before)
        switch.write_text("1")


def lost(path: Path) -> bool:
    """Whether a recording has gaps, or cannot be read at all."""
    import json

    command = [sys.executable, "-m", "pvreplay", "info", str(path), "--format", "json"]
    done = subprocess.run(command, capture_output=True)
    return done.returncode != 0 or bool(json.loads(done.stdout).get("lost_events"))


def recorded(path: Path, asked: int) -> int:
    """How many events, about as many as *asked*, were recorded without a gap; 0 when none can be here."""
    if shutil.which("perf") is None:
        return 0
    for record in (by_record, by_extract):
        try:
            if not record(path, 1000, 4096):
                continue
            per_loop = max(1.0, events_of(path) / 1000)
            # The loops may all run on one CPU, and an extracted file must fit in its buffer.
            loops = int(asked / per_loop * 1.05) + 1
            if record(path, loops, asked * EVENT_BYTES // 1024) and not lost(path):
                return events_of(path)
        except OSError:
            continue
    return 0


def built(directory: Path) -> tuple[Path, int]:
    """A version 6 file of two CPUs, full pages of sched_switch."""
    path = directory / "switch.trace.dat"
    each = 60
    pages = PLAIN_EVENTS // each // 2
    turn = b"".join(
        b.ring_event(
            100, b.switch_payload(0, 5 + i % 4 // 2) if i % 2 == 0 else b.switch_payload(5 + i % 4 // 2, 0)
        )
        for i in range(each)
    )
    head = b.trace_dat6([b"", b""], {"sched": [b.switch_format()]})
    table = head.index(b"flyrecord\0") + 10
    start = -(-len(head) // 4096) * 4096
    size = 4096 * pages
    head = head[:table] + struct.pack("<4Q", start, size, start + size, size) + head[table + 32 :]
    with path.open("wb") as file:
        file.write(head + bytes(start - len(head)))
        for cpu in range(2):
            page = bytearray(b.ring_page(0, turn))
            for number in range(pages):
                page[:8] = (10**9 + number * 200 * each + cpu * 37).to_bytes(8, "little")
                file.write(page)
    return path, 2 * pages * each


def peers(path: Path) -> list[tuple[str, list[str], float, int]]:
    """What a trace.dat is read with otherwise, and how many times faster we have to be."""
    report = ["trace-cmd", "report", str(path)]
    return [
        ("trace-cmd report", report, 60, SLOW_RUNS),
        ("trace-cmd report -F", [*report[:2], "-F", "sched_switch", report[2]], 25, SLOW_RUNS),
    ]


def measure(runs: int) -> Iterator[Line]:
    """Every line of this part."""
    if shutil.which("trace-cmd") is None:
        print("of_tracedat: no trace-cmd here", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        packed, plain = directory / "sched.trace.dat", directory / "sched.plain.dat"
        events = recorded(packed, PACKED_EVENTS)
        if not events:
            print("of_tracedat: nothing can be traced here: a built file", file=sys.stderr)
            path, events = built(directory)
            yield from beside("trace.dat, not packed", path, events, runs, peers(path))
            return
        yield from beside("trace.dat", packed, events, runs, peers(packed))
        events = recorded(packed, PLAIN_EVENTS)
        if events and quiet(
            "trace-cmd", "convert", "-i", str(packed), "-o", str(plain), "--file-version", "6"
        ):
            packed.unlink()
            yield from beside("trace.dat, not packed", plain, events, runs, peers(plain))
