"""Which ruler measured?  Digests of what is built in: kernels, backends, rules, the machine.

A user's own kernel or backend file is what a gate tests, so its changes are
compared.  What pvreplay brings along is the ruler: when that changes, numbers
before and after are not comparable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend

MODEL = 2
"""Raised by hand when the loop, the machine or a rule gives another result from the same data."""

_WORDS = frozenset({"source", "note", "since", "until", "assumption"})
"""Fields of a backend's rows that explain or select, and do not change what a row does."""


def rules_digest(codes: Iterable[str]) -> str:
    """The set of rules."""
    return _digest(sorted(codes))


def kernel_digest(kernel: Kernel) -> str:
    """What *kernel* does; not its titles, sources and notes."""
    return _digest(
        [
            kernel.name,
            kernel.arch,
            kernel.version,
            [(step.name, step.when, step.ops) for step in kernel.steps],
            kernel.fpu,
            kernel.parks,
            kernel.irq_ignores_lazy,
            kernel.lazy_mmu,
            kernel.user_segment,
            kernel.nm_ops,
            kernel.leave_mm_ops,
        ]
    )


def backend_digest(backend: Backend) -> str:
    """What *backend*, resolved for a kernel, does; not its titles, sources and notes."""
    return _digest(
        [
            backend.form,
            _does(backend.queue),
            [_does(row) for _, row in sorted(backend.modes.items())],
            [_does(row) for _, row in sorted(backend.rows.items())],
            _does(backend.profile) if backend.profile is not None else None,
            sorted(backend.traits.items()),
            backend.implicit,
            backend.reloads_selectors,
            backend.hypercall_drains,
            backend.irq_ignores_lazy,
        ]
    )


def _does(row: msgspec.Struct) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(row).items() if key not in _WORDS}


def _digest(value: object) -> str:
    return xxhash.xxh3_64_hexdigest(msgspec.json.encode(value, order="deterministic"))
