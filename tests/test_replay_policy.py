"""A policy judges; what a simulated kernel does, and what that costs, is the kernel's business."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.policy import POLICIES
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.trace.memory import ListTrace
from tests.replay_traces import random_trace

BACKENDS = ("native", "vmi", "xen", "lguest", "kvm")


def costs(trace: ListTrace, kernel_name: str, policy: str) -> list[dict[str, Any]]:
    """What every backend pays."""
    kernel = load_kernel(kernel_name)
    backends = [load_backend(name, kernel) for name in BACKENDS]
    report = price(replay(trace, kernel), kernel, backends, policy=policy)
    assert report.switches > 70
    return [msgspec.to_builtins(result) for result in report.backends]


@pytest.mark.parametrize("name", builtin_kernels())
def test_the_same_trace_on_the_same_kernel_costs_the_same_under_every_policy(name: str) -> None:
    trace = random_trace(seed=31, events=300)
    first, *others = [costs(trace, name, policy) for policy in POLICIES]
    for other in others:
        assert other == first


def test_policies_differ_in_what_they_call_a_violation() -> None:
    kernel = load_kernel("2.6.31")
    hist = replay(random_trace(seed=31, events=300), kernel)
    judged = {
        name: {
            (one.rule, one.count)
            for one in price(hist, kernel, [load_backend("xen", kernel)], policy=name).violations
        }
        for name in POLICIES
    }
    assert judged["seed2006"] != judged["strict-nopreempt"] != judged["generic2025"]
