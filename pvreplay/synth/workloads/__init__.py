"""The synthetic workloads, one file each; the first line of a file's docstring is its line in ``synth
--list``.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "pingpong",
    "messaging",
    "threadpool",
    "forkstorm",
    "fpumix",
    "mmuremap",
    "gameserver",
    "database",
    "random",
)
"""In the order of ``synth --list``: the known workload first."""
