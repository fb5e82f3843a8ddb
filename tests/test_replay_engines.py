"""Counting shapes and pricing each once = stepping every single occurrence, to the last digit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pvreplay.backends.reader import builtin_backends, load_backend
from pvreplay.kernels.model import Kernel
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.policy import POLICIES
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.replay.step import step_trace
from pvreplay.trace.memory import ListTrace
from tests.replay_traces import random_trace


def both(trace: ListTrace, kernel: Kernel, policy: str = "seed2006") -> tuple[dict[str, Any], dict[str, Any]]:
    """The reports of the two engines on every built-in backend, without the engine's name."""
    backends = [load_backend(name, kernel) for name in builtin_backends()]
    shapes: dict[str, Any] = msgspec.to_builtins(
        price(replay(trace, kernel), kernel, backends, policy=policy)
    )
    steps: dict[str, Any] = msgspec.to_builtins(step_trace(trace, kernel, backends, policy=policy))
    assert (shapes.pop("engine"), steps.pop("engine")) == ("shape", "step")
    return shapes, steps


@pytest.mark.parametrize("name", builtin_kernels())
def test_the_engines_agree_for_every_kernel_and_backend(name: str) -> None:
    shapes, steps = both(random_trace(seed=11, events=600), load_kernel(name))
    for key, value in shapes.items():
        assert value == steps[key], key
    assert shapes["switches"] > 150
    assert shapes["backends"][1]["hypercalls"] > 0


@pytest.mark.parametrize("policy", POLICIES)
def test_the_engines_agree_under_every_policy(policy: str) -> None:
    shapes, steps = both(random_trace(seed=12, events=400), load_kernel("2.6.31"), policy)
    assert shapes == steps
    assert shapes["violations"]


def test_the_engines_agree_on_an_empty_trace() -> None:
    shapes, steps = both(ListTrace([]), load_kernel("2.6.21"))
    assert shapes == steps
