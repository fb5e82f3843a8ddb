"""Switch paths as data: one TOML file a kernel, and their reader.

>>> from pvreplay.kernels import load_kernel
>>> [step.name for step in load_kernel("2.6.21").steps][:3]
['enter_lazy_cpu', 'switch_mm_cr3', 'switch_mm_ldt']
"""

from __future__ import annotations

from pvreplay.kernels.model import FpuRules, JudgedStep, Kernel, PlacedOp, Step
from pvreplay.kernels.reader import DEFAULT_KERNEL, builtin_kernels, load_kernel

__all__ = [
    "DEFAULT_KERNEL",
    "FpuRules",
    "JudgedStep",
    "Kernel",
    "PlacedOp",
    "Step",
    "builtin_kernels",
    "load_kernel",
]
