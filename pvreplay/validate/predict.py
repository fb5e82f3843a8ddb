"""The prediction: the product's own replay of the state stream, switch by switch.

Nothing of the evidence is in reach here: :class:`StateStream` hands on neither
tracepoints of Xen, of TLB flushes or of FPU saves, nor functions of the switch
path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pvreplay.machine.machine import Machine
from pvreplay.machine.shape import UNIT_SWITCH
from pvreplay.replay.step import Steps
from pvreplay.replay.window import switch_context
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.validate.contents import Gap, last_switches
from pvreplay.validate.items import Recording
from pvreplay.validate.known import Knowledge, Known
from pvreplay.validate.signs import XTRA
from pvreplay.validate.state import StateStream

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend

_XTRA_FACTS = ("prev_io_bitmap", "prev_notsc", "next_notsc", "prev_blockstep", "next_blockstep")


class Flushed(NamedTuple):
    """A batch that was handed over: what xen_mc_flush tells."""

    entries: int
    arg_bytes: int
    callbacks: int


class Path(NamedTuple):
    """What one set of facts makes of a switch."""

    ops: tuple[str, ...]
    flushes: tuple[Flushed, ...]
    hypercalls: Mapping[str, int]
    """op -> hypercalls; those of a flush are counted under the op that drained the queue."""


class Predicted(NamedTuple):
    """A switch, and what it should have done."""

    known: Known
    facts: Mapping[str, int]


class Prediction:
    """Iterate once for the :class:`Predicted` of every switch, in file order."""

    def __init__(
        self,
        recording: Recording,
        kernel: Kernel,
        assume: Mapping[str, str] | None = None,
    ) -> None:
        abi = (assume or {}).get("abi", "skip")
        self._stream = _Tapped(recording, abi, io_from_iopl=kernel.version >= (5, 5))
        self.told = self._stream.told
        self._kernel = kernel
        self._assume = dict(assume or {})

    def __iter__(self) -> Iterator[Predicted]:
        stream = self._stream
        trace = RecoveredTrace(stream, self._assume)
        for done in Steps(trace, self._kernel):
            if done.unit_type == UNIT_SWITCH:
                known = stream.switches.popleft()
                facts = dict(done.facts)
                if known.fpu_live is False:
                    facts["prev_fpu"] = 0
                if known.stale and not facts["mm_differs"]:
                    facts["lazy_tlb_reload"], facts["next_ldt"] = 1, 0
                if known.left:
                    facts["prev_ldt"], facts["ldt_differs"] = 0, facts["mm_differs"] & facts["next_ldt"]
                yield Predicted(known, facts)


class _Tapped(StateStream):
    """The state stream, with what is known of each switch kept beside it."""

    def __init__(self, recording: Recording, abi: str, io_from_iopl: bool) -> None:
        super().__init__(recording, abi, io_from_iopl)
        self._knowledge = Knowledge(self.told, self.comms, last_switches(self.brief()), self.compat)
        self.switches: deque[Known] = deque()

    def fill(self, words: memoryview, start: int) -> int:
        """As the stream's."""
        end = super().fill(words, start)
        for at in range(4 * start, 4 * end, 4):
            known = self._knowledge.record(*words[at : at + 4])
            if known is not None:
                self.switches.append(known)
        return end


class Paths:
    """Facts -> what the model's path does on a backend; each distinct set is stepped once."""

    def __init__(self, kernel: Kernel, backend: Backend) -> None:
        self._kernel = kernel
        self._backend = backend
        self._made: dict[tuple[int, ...], Path] = {}

    def of(self, facts: Mapping[str, int]) -> Path:
        """The path of one switch."""
        key = tuple(facts.values())
        path = self._made.get(key)
        if path is None:
            path = self._made[key] = self._step(facts)
        return path

    def _step(self, facts: Mapping[str, int]) -> Path:
        backend = self._backend
        machine = Machine(backend, lazy_mmu=self._kernel.lazy_mmu)
        machine.context = switch_context(self._kernel, backend, facts)
        machine.step("begin")
        ops: list[str] = []
        flushes: list[Flushed] = []
        hypercalls: dict[str, int] = {}
        queued = Flushed(0, 0, 0)
        for place, op, operand, _ in self._kernel.expand({**facts, **backend.traits}):
            if place.startswith("xtra") and XTRA not in ops:
                ops.append(XTRA)
            text = f"{op}:{operand}" if operand else op
            view = machine.step(text, place)
            ops.append(text)
            if view.hypercalls:
                hypercalls[text] = hypercalls.get(text, 0) + view.hypercalls
            row = view.disposition
            if view.entries:
                queued = Flushed(
                    queued.entries + view.entries,
                    queued.arg_bytes + row.arg_bytes * (row.entries * (facts["tls"] if row.per_slot else 1)),
                    queued.callbacks + row.callbacks,
                )
            if view.flush or op == "end_context_switch":
                flushes.append(queued)
                queued = Flushed(0, 0, 0)
        if XTRA not in ops and _calls_xtra(facts):
            ops.append(XTRA)
        return Path(tuple(ops), tuple(flushes), hypercalls)


def _calls_xtra(facts: Mapping[str, int]) -> bool:
    """Whether switch_to_extra() calls __switch_to_xtra(): a flag is set, though nothing may differ."""
    return any(facts[name] for name in _XTRA_FACTS)


def other_facts(facts: Mapping[str, int], gap: Gap) -> dict[str, int]:
    """*facts* with the other values of *gap*."""
    changed = dict(facts)
    for name, value in gap.facts.items():
        changed[name] = 1 - facts[name] if value < 0 else value
    if changed["mm_differs"] and not facts["mm_differs"]:
        changed["lazy_tlb_reload"] = 0
    return changed
