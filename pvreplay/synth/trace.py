"""A synthetic workload as a Trace: provenance "observed" throughout, memory flat in its length."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from pvreplay.errors import UsageError
from pvreplay.synth.inject import Injection, check_unique
from pvreplay.synth.profile import CHUNK_EVENTS, Filler, Planting
from pvreplay.trace.model import STATE_KEYS, Chunk, Meta, Origin, Task

SWITCHES_MAX: Final = (1 << 32) - 1
SEED_MAX: Final = (1 << 64) - 1
STREAM: Final = 1
"""Raised whenever the same request gives other events than before; stands in the origin line."""


class Plan(Protocol):
    """A workload that can be started; ``tasks`` and ``first`` are complete once it has been."""

    cpus: int
    ops: tuple[str, ...]
    tasks: list[Task]
    first: dict[int, int]
    newborn: str

    def start(self, switches: int, seed: int, plants: Sequence[Planting] = ()) -> Filler:
        """A generator at its first event."""
        ...


class SynthTrace:
    """Exactly *switches* switches of *plan*.  May be read more than once, with the same events.

    *recipe* is the request in words, for the origin line.  *planted* is how many violations of each
    rule the events hold; it is known before they are read, because with injections the generator is
    run once to count.  Raises UsageError for a number of switches or a seed out of range.
    """

    def __init__(
        self, plan: Plan, recipe: str, *, switches: int, seed: int, injections: Sequence[Injection] = ()
    ) -> None:
        if not 0 < switches <= SWITCHES_MAX:
            raise UsageError(f"synth: {switches} switches", f"Expected 1 to {SWITCHES_MAX}.")
        if not 0 <= seed <= SEED_MAX:
            raise UsageError(f"synth: seed {seed}", f"Expected 0 to {SEED_MAX}.")
        check_unique(injections)
        self.plan = plan
        self.switches = switches
        self.seed = seed
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self._plants = [plant.planting(switches) for plant in injections]
        self.planted: dict[str, int] = self._count_planted(injections)
        origin = f"pvreplay synth {recipe} (stream {STREAM})"
        if self.planted:
            origin += "; planted " + " ".join(f"{rule}={count}" for rule, count in self.planted.items())
        self.meta = Meta(
            path="synth",
            format="synth",
            cpus=plan.cpus,
            clock="synthetic",
            origin=origin,
            level="op" if plan.ops else "switch",
            state={key: Origin("observed", "synthetic") for key in STATE_KEYS},
            ops=plan.ops,
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield chunks of at most 65536 events in one buffer that is used again."""
        filler = self.plan.start(self.switches, self.seed, self._plants)
        buffer = array("Q", bytes(16 * CHUNK_EVENTS))
        words = memoryview(buffer).toreadonly()
        tasks, on = list(self.plan.tasks), sorted(self.plan.first.items())
        offset = 0
        while count := filler.fill(buffer):
            tasks += [Task(task, self.plan.newborn, 1000 + task, mm) for task, mm in filler.births()]
            yield Chunk(words[: 2 * count], tasks, on, offset)
            tasks, on = [], []
            offset += 16 * count

    def _count_planted(self, injections: Sequence[Injection]) -> dict[str, int]:
        """Run the generator without keeping the events, to know what it could plant."""
        if not injections:
            return {}
        filler = self.plan.start(self.switches, self.seed, self._plants)
        buffer = array("Q", bytes(16 * CHUNK_EVENTS))
        while filler.fill(buffer):
            pass
        return {plant.rule: count for plant, count in zip(injections, filler.counts(), strict=True)}
