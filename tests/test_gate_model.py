"""The model number: when the same trace, kernel and backend give another result, it has to be raised.

The golden holds digests of traces, kernels and backends beside digests of results, so
that a changed kernel file is no alarm: a gate sees that by itself.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pvreplay.backends.reader import BASE_BACKENDS, load_backend
from pvreplay.gate.identity import Identified
from pvreplay.gate.model import MODEL, backend_digest, kernel_digest, rules_digest
from pvreplay.kernels import builtin_kernels, load_kernel
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.rules import TABLE
from pvreplay.synth import make, workload_names
from tests.golden_verdicts import DATA

GOLDEN = "gate-model.json"


def results() -> dict[str, Any]:
    """``WORKLOAD KERNEL BACKEND`` -> [what was measured by what, result]."""
    found = {}
    rules = rules_digest(TABLE)
    for number, name in enumerate(builtin_kernels()):
        kernel = load_kernel(name)
        backends = [load_backend(spec, kernel) for spec in BASE_BACKENDS]
        workload = workload_names()[number % len(workload_names())]
        trace = Identified(make(workload, switches=500, seed=1, cpus=2))
        report = price(replay(trace, kernel), kernel, backends)
        for backend, result in zip(backends, report.backends, strict=True):
            ruler = f"{trace.digest()} {kernel_digest(kernel)} {backend_digest(backend)} {rules}"
            broken = sorted(
                f"{v.rule} {v.op} {v.count}" for v in report.violations if backend.name in v.backends
            )
            cost = [result.hypercalls, result.entries, result.traps, result.rom_calls]
            found[f"{workload} {name} {backend.name}"] = [ruler, *cost, *broken]
    return found


def test_the_same_ruler_gives_the_result_of_the_golden_or_another_model_number() -> None:
    now = results()
    path = DATA / GOLDEN
    writing = os.environ.get("PVREPLAY_GOLDENS") == "write"
    held = json.loads(path.read_text()) if path.exists() else {"model": 0, "results": {}}
    same = 0
    if held["model"] == MODEL:
        for key, (ruler, *result) in now.items():
            before, *then = held["results"].get(key, [""])
            assert ruler != before or result == then, (
                f"{key}: another result from the same data: "
                "raise MODEL in pvreplay/gate/model.py, then make goldens"
            )
            same += ruler == before
    if writing:
        joined = ",\n".join(
            f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(now.items())
        )
        path.write_text(f'{{\n  "model": {MODEL},\n  "results": {{\n{joined}\n  }}\n}}\n')
    else:
        assert same, "the golden is of another model or other rules: make goldens"
