"""A whole run over a large trace.bin, beside the loop alone, one backend, and a memory limit."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay import state
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.sources.parallel import jobs
from pvreplay.synth import make
from pvreplay.trace.binary import BinaryTrace, BinaryWriter
from tests.bench.lines import Line, by_turns, spread

KERNEL = load_kernel("2.6.21")
FIVE = ("native", "vmi", "xen", "vmi-unbatched", "xen-unbatched")
MEMORY_MIB = 64

PRIVATE = """
import sys, threading, time
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay.run import replay
from pvreplay.sources.parallel import jobs
from pvreplay.trace.binary import BinaryTrace
most, done = [0], []
def look():
    while not done:
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon"):
                most[0] = max(most[0], int(line.split()[1]))
        time.sleep(0.01)
looking = threading.Thread(target=look)
looking.start()
replay(BinaryTrace.open(sys.argv[1]), load_kernel("2.6.21"), jobs=jobs)
done.append(1)
looking.join()
print(most[0] / 1024)
"""


def write(path: Path, switches: int) -> None:
    """A trace.bin of the workload messaging."""
    trace = make("messaging", switches=switches, seed=1, cpus=4)
    with path.open("wb") as file:
        writer = BinaryWriter(file, trace.meta)
        for chunk in trace.chunks():
            writer.write(chunk)
        writer.close()


def whole_seconds(path: Path, threads: int) -> float:
    """Reading, checking and replaying the file."""
    start = time.perf_counter()
    replay(BinaryTrace.open(str(path)), KERNEL, jobs=lambda: threads)
    return time.perf_counter() - start


def loop_seconds(path: Path) -> float:
    """The part of the same that is spent in the loop."""
    taken = 0.0
    plain = state.State.run

    def timed(self: state.State, *args: object) -> int:
        nonlocal taken
        start = time.perf_counter()
        status = plain(self, *args)  # type: ignore[arg-type]
        taken += time.perf_counter() - start
        return status

    state.State.run = timed  # type: ignore[assignment]
    try:
        replay(BinaryTrace.open(str(path)), KERNEL)
    finally:
        state.State.run = plain  # type: ignore[method-assign]
    return taken


def priced_seconds(path: Path, names: tuple[str, ...]) -> float:
    """CPU time of the whole with the prices on *names*."""
    backends = [load_backend(name, KERNEL) for name in names]
    start = time.process_time()
    price(replay(BinaryTrace.open(str(path)), KERNEL), KERNEL, backends)
    return time.process_time() - start


def private_mib(path: Path) -> float:
    """The most anonymous memory a process has that replays the file."""
    command = [sys.executable, "-c", PRIVATE, str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(runs: int, switches: int = 98_000_000) -> Iterator[Line]:
    """Four lines over 100 million events (1.6 GB); costs, so lower is better."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.bin", Path(folder) / "small.bin"
        write(large, switches)
        write(small, switches // 98)
        whole, alone, loop, one, five = by_turns(
            runs,
            lambda: whole_seconds(large, jobs()),
            lambda: whole_seconds(large, 1),
            lambda: loop_seconds(large),
            lambda: priced_seconds(large, FIVE[:1]),
            lambda: priced_seconds(large, FIVE),
        )
        size = large.stat().st_size
        for what, taken in ("run, whole", whole), ("run, one thread", alone):
            line = Line(
                what, "s", median(taken), median(loop), "the loop's part", "lower", 1.5, spread(taken)
            )
            line.notes.append(f"{size / 16 / median(taken) / 1e6:.0f} M events/s with checksums")
            yield line
        yield Line(
            "run, five backends", "s", median(five), median(one), "one backend", "lower", 1.05, spread(five)
        )
        used = [private_mib(large) for _ in range(3)]
        line = Line(
            "run, private memory", "MiB", median(used), MEMORY_MIB, "limit", "lower", 1.0, spread(used)
        )
        line.notes.append(f"{private_mib(small):.0f} MiB for a hundredth of the events")
        yield line
