"""The C program that the benchmark compares with does the same work: its counts are ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pvreplay.kernels.model import Kernel
from pvreplay.replay.run import replay
from tests.bench.of_loop import Peer, in_memory
from tests.replay_traces import kernels, random_trace

KERNELS = kernels()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_program_counts_what_the_loop_counts(tmp_path: Path) -> None:
    for seed, kernel in enumerate(KERNELS):
        events = in_memory(random_trace(seed, 1500, cpus=2 + seed % 3, tasks=12))
        peer = Peer(events, kernel, tmp_path)
        peer.seconds()
        peer.check(replay(events, kernel))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_difference_would_be_noticed(tmp_path: Path) -> None:
    kernel: Kernel = KERNELS[1]
    events = in_memory(random_trace(1, 1500))
    peer = Peer(events, kernel, tmp_path)
    peer.seconds()
    hist = replay(events, kernel)
    hist.rows[0].count += 1
    with pytest.raises(AssertionError):
        peer.check(hist)


def test_the_loop_runs_interpreted_where_cython_is_not_installed() -> None:
    program = """
import sys
sys.modules["cython"] = None  # import cython fails
from pvreplay.replay.build import loop_module
from tests.replay_traces import kernels, random_trace
from pvreplay.replay.run import replay
loop = loop_module(interpreted=True)
assert type(loop.cython).__module__ == "pvreplay._cython_shim", loop.cython
trace = random_trace(3, 500)
assert replay(trace, kernels()[1], interpreted=True) == replay(trace, kernels()[1])
"""
    here = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=here)
