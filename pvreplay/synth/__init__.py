"""Seeded synthetic workloads: traces whose every switch is known, of any length.

    trace = make("pingpong", switches=23, seed=1)

The same request gives the same bytes on every machine, compiled or interpreted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pvreplay.errors import UsageError
from pvreplay.synth.workloads import NAMES

if TYPE_CHECKING:
    from pvreplay.synth.inject import Injection
    from pvreplay.synth.trace import SynthTrace

__all__ = ["describe", "make", "summaries", "workload_names"]


def workload_names() -> list[str]:
    """The workloads in the order of ``synth --list``."""
    return list(NAMES)


def _module(name: str) -> Any:
    from importlib import import_module

    if name not in NAMES:
        raise UsageError(f"synth: no workload {name!r}", f"There are: {', '.join(NAMES)}.")
    return import_module(f"pvreplay.synth.workloads.{name}")


def summaries() -> list[tuple[str, str]]:
    """(name, one line) of every workload."""
    return [(name, _module(name).__doc__.partition("\n")[0]) for name in NAMES]


def describe(name: str) -> str:
    """What a workload models, where its numbers come from, and its options with their ranges."""
    module = _module(name)
    lines = [module.__doc__.strip(), ""]
    for key, option in module.OPTIONS.items():
        lines.append(f"  --set {key}={option.default}  {option.help} ({option.low} to {option.high})")
    return "\n".join(lines)


def make(
    name: str,
    *,
    switches: int,
    seed: int,
    cpus: int = 1,
    tasks: int | None = None,
    options: Mapping[str, int] | None = None,
    inject: Sequence[Injection] = (),
) -> SynthTrace:
    """A workload as a Trace of exactly *switches* switches.

    *tasks* None is the workload's own number; *options* are its own (``describe``); *inject* plants
    violations.  Raises UsageError for anything out of range.
    """
    from pvreplay.synth.params import Params, check_options
    from pvreplay.synth.trace import SynthTrace

    module = _module(name)
    chosen = check_options(name, module.OPTIONS, options or {})
    plan = module.build(Params(name, cpus, tasks, chosen))
    recipe = f"{name} --switches {switches} --seed {seed} --cpus {cpus}"
    if tasks is not None:
        recipe += f" --tasks {tasks}"
    recipe += "".join(f" --set {key}={value}" for key, value in (options or {}).items())
    recipe += "".join(f" --inject {plant.rule}@{plant.ppm}/1000000" for plant in inject)
    return SynthTrace(plan, recipe, switches=switches, seed=seed, injections=inject)
