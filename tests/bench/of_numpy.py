"""trace.bin: a full replay beside numpy that merely counts switches per CPU, whole processes.

Both files hold the same events: ours with checksums, numpy's as plain records of 32 bytes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from pvreplay.synth import make
from pvreplay.trace.binary import BinaryWriter
from tests.bench.lines import Line, by_turns, spread
from tests.bench.process import pvreplay, run

PEER = Path(__file__).parent / "peer_numpy.py"
GOAL = 3


def write(ours: Path, theirs: Path, switches: int) -> int:
    """The workload messaging in both forms; how many events it has."""
    import numpy as np

    from tests.bench.peer_numpy import RECORD

    trace = make("messaging", switches=switches, seed=1, cpus=4)
    events = 0
    with ours.open("wb") as file, theirs.open("wb") as plain:
        writer = BinaryWriter(file, trace.meta)
        for chunk in trace.chunks():
            writer.write(chunk)
            words = np.frombuffer(chunk.events, dtype="<u8").reshape(-1, 2)
            records = np.zeros(len(words), dtype=RECORD)
            records["time_ns"] = words[:, 0]
            records["arg"] = words[:, 1] & 0xFFFFFFFF
            records["cpu"] = words[:, 1] >> 32 & 0xFFFF
            records["kind"] = words[:, 1] >> 48 & 0xFF
            records["flags"] = words[:, 1] >> 56
            plain.write(records.tobytes())
            events += len(words)
        writer.close()
    return events


def measure(runs: int, switches: int = 98_000_000) -> Iterator[Line]:
    """One line, over 100 million events as in ``of_run.py``."""
    if find_spec("numpy") is None:
        print("of_numpy: no numpy here (pip install numpy)", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        trace, plain = Path(folder) / "trace.bin", Path(folder) / "records"
        events = write(trace, plain, switches)
        ours = pvreplay("run", str(trace), "--format", "json")
        theirs = [sys.executable, str(PEER), str(plain)]
        report = json.loads(run(ours).output)
        counted = {cpu: row["count"] for cpu, row in report["backends"][0]["by_cpu"].items()}
        assert counted == json.loads(run(theirs).output)
        mine, peers = by_turns(runs, lambda: run(ours).seconds, lambda: run(theirs).seconds)
    yield Line(
        what="trace.bin",
        unit="M events/s",
        ours=events / median(mine) / 1e6,
        peer=events / median(peers) / 1e6,
        peer_name="numpy reading 32-byte records",
        goal=GOAL,
        spread=spread(mine),
        notes=[f"{events:,} events, replayed"],
    )
