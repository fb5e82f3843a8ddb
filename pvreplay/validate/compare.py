"""Prediction beside evidence, switch by switch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from pvreplay.errors import TraceError, UsageError
from pvreplay.machine.shape import GUARDS
from pvreplay.validate.contents import Gap
from pvreplay.validate.evidence import Seen, Windows
from pvreplay.validate.items import GRAPH, Recording
from pvreplay.validate.known import REASONS
from pvreplay.validate.learnt import Learnt
from pvreplay.validate.pairs import Pairs
from pvreplay.validate.predict import Path, Paths, Predicted, Prediction, other_facts
from pvreplay.validate.result import Batches, Class, Decision, Example, Numbers, Reason, Result, Switches
from pvreplay.validate.signs import NATIVE_SIGNS, XEN_SIGNS, XTRA, Survey
from pvreplay.validate.view import FLUSH_NAMES, NAMES, View

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend

GAPS_MAX = 5
"""How many gaps at once may explain a switch."""
GAPS_FREE = 3
"""Beyond so many, only gaps that show by themselves are tried."""
CLASSES_MAX = 40
NEXT_KERNEL = "next_kernel"


class Comparison:
    """Collects verdicts; ``result`` when every switch was judged."""

    def __init__(
        self,
        paths: Paths,
        shown: Mapping[str, str],
        flushes: bool,
        lazy: bool,
        execs_told: bool,
        graphed: bool,
    ) -> None:
        self._paths = paths
        self._pairs = Pairs()
        self._learnt = Learnt()
        self._execs_told = execs_told
        self._graphed = graphed
        self._shown = shown
        self._visible: list[str] = list(shown)
        """Ops that the switch at hand can show."""
        self._flushes = flushes
        self._lazy = lazy
        self.switches = Switches()
        self.decisions = {NAMES.get(op, op): Decision(sign=_said(sign)) for op, sign in shown.items()}
        if lazy:
            self.decisions[NEXT_KERNEL] = Decision(sign="enter_lazy_tlb or switch_mm_irqs_off, called")
        self.batches = {name: Batches(predicted={}, seen={}) for name in FLUSH_NAMES} if flushes else {}
        self.predicted, self.seen = Numbers(), Numbers()
        self.by_op: dict[str, dict[str, int]] = {}
        self.confusion: dict[str, dict[str, int]] = {}
        self.reasons: dict[str, Reason] = {}
        self.classes: dict[tuple[str, str], Class] = {}
        self.other: dict[str, int] = {}

    # --- one switch -----------------------------------------------------------------------------

    def judge(self, number: int, predicted: Predicted, seen: Seen, name: tuple[str, str]) -> None:
        """Compare one switch."""
        self._visible = [op for op in self._shown if seen.shows(op)]
        unshown = self._graphed and self._lazy and seen.lazy is None and not seen.part
        if not seen.covered or unshown or not (self._visible or self._flushes):
            self.switches.outside += 1
            return
        for what, count in seen.other.items():
            self.other[what] = self.other.get(what, 0) + count
        predicted = self._settled(predicted)
        gaps = predicted.known.gaps
        for reason in {gap.reason for gap in gaps}:
            self._reason(reason).exposed += 1
        path = self._paths.of(predicted.facts)
        sized = self._flushes and seen.flushes is not None
        expected = self._view(path, predicted.facts, sized)
        found = View(
            seen.ops, seen.flushes if sized else None, seen.lazy if self._lazy and seen.lazy_told else None
        )
        if not seen.complete:
            self._reason("cut").exposed += 1
            self._undecided(number, predicted, seen, name, expected, found, ["cut"])
            return
        row = self.confusion.setdefault(expected.shape(), {})
        row[found.shape()] = row.get(found.shape(), 0) + 1
        open_ = [gap for gap in gaps if gap.open and self._matters(predicted, gap, expected, sized)]
        same = expected.same(found)
        causes: Sequence[Gap] | None
        causes, only = (open_, False) if same else self._explain(predicted, gaps, found)
        reasons = sorted({gap.reason for gap in causes or ()})
        if causes:
            self._learn(causes, found, only)
        elif same:
            shown = [gap for gap in gaps if gap.lasting and self._matters(predicted, gap, expected, sized)]
            self._learnt.hold(shown, predicted.facts)
        if causes is None:
            self.switches.different += 1
            self.switches.compared += 1
            self._decide(expected, found, undecided=False)
            self._class("different", number, predicted, seen, name, expected, found, [])
            self._count(path, seen, found)
        elif open_ or not expected.same(found, xtra=False):
            self._decide(expected, found, undecided=True, also=["mm"] if open_ else [])
            self._undecided(number, predicted, seen, name, expected, found, reasons)
        else:
            self.switches.equal += 1
            self.switches.compared += 1
            if any(self._matters(predicted, gap, expected, sized) for gap in gaps):
                self.switches.on_default += 1
            self._decide(expected, found, undecided=True)
            self._count(path, seen, found)
            if reasons:
                for reason in reasons:
                    self._reason(reason).decisions += 1
                self._class("xtra undecided", number, predicted, seen, name, expected, found, reasons)

    def _settled(self, predicted: Predicted) -> Predicted:
        """The prediction with what earlier switches showed about the two mms and tasks."""
        untold, told = self._learnt.settle(predicted.known.gaps, predicted.facts)
        predicted = Predicted(predicted.known._replace(gaps=tuple(untold)), told)
        for gap in predicted.known.gaps:
            same = self._pairs.same(gap.pair) if gap.pair is not None else None
            if same is None:
                continue
            gaps = [other for other in predicted.known.gaps if other is not gap]
            facts = predicted.facts
            if bool(facts["mm_differs"]) == same:
                facts = other_facts(facts, gap)
            if not same:
                gaps.append(Gap("old_mm", {"mm_differs": 0}, pair=gap.pair, lasting=gap.lasting))
            elif not self._execs_told:
                gaps.append(Gap("exec_elsewhere", {"mm_differs": 1}, pair=gap.pair))
            return Predicted(predicted.known._replace(gaps=tuple(gaps)), facts)
        return predicted

    def _learn(self, causes: Sequence[Gap], found: View, only: bool) -> None:
        """What this switch shows, told by the gaps that it depends on."""
        self._learnt.learn(causes, only)
        for gap in causes:
            if (
                gap.pair is None
                or not (gap.lasting or gap.reason != "old_mm")
                or "write_cr3" not in self._visible
            ):
                continue
            if gap.reason == "exec_elsewhere":
                self._pairs.forget(gap.pair[1])
            self._pairs.learn(gap.pair, "write_cr3" not in found.ops)

    def _view(self, path: Path, facts: Mapping[str, int], sized: bool) -> View:
        return View(
            [op for op in path.ops if op in self._visible],
            path.flushes if sized else None,
            bool(facts["next_kernel"]) if self._lazy else None,
        )

    def _matters(self, predicted: Predicted, gap: Gap, expected: View, sized: bool) -> bool:
        facts = other_facts(predicted.facts, gap)
        return not self._view(self._paths.of(facts), facts, sized).same(expected)

    def _explain(
        self, predicted: Predicted, gaps: Sequence[Gap], found: View
    ) -> tuple[Sequence[Gap] | None, bool]:
        """The fewest gaps whose other values give what was seen, None when none do; and whether nothing
        else as simple does."""
        sized = found.flushes is not None
        for size in range(1, min(GAPS_MAX, len(gaps)) + 1):
            of = gaps if size <= GAPS_FREE else self._telling(predicted.facts, gaps, sized)
            fitting = (
                chosen for chosen in combinations(of, size) if self._fits(predicted, chosen, found, sized)
            )
            first = next(fitting, None)
            if first is not None:
                return first, size == 1 and next(fitting, None) is None
        return None, False

    def _fits(self, predicted: Predicted, chosen: Sequence[Gap], found: View, sized: bool) -> bool:
        facts: Mapping[str, int] = predicted.facts
        for gap in chosen:
            facts = other_facts(facts, gap)
        return self._view(self._paths.of(facts), facts, sized).same(found)

    def _telling(self, facts: Mapping[str, int], gaps: Sequence[Gap], sized: bool) -> list[Gap]:
        """The gaps that would show, each on its own or with another mm; those of LDTs go two by two."""
        bases = [dict(facts)]
        bases += [other_facts(facts, gap) for gap in gaps if "mm_differs" in gap.facts]
        views = [self._view(self._paths.of(base), base, sized) for base in bases]
        told: list[Gap] = []
        for gap in gaps:
            if gap.reason == "ldt":
                told.append(gap)
                continue
            for base, view in zip(bases, views, strict=True):
                other = other_facts(base, gap)
                if not self._view(self._paths.of(other), other, sized).same(view):
                    told.append(gap)
                    break
        return told

    # --- counting ---------------------------------------------------------------------------------

    def _decide(self, expected: View, found: View, *, undecided: bool, also: Sequence[str] = ()) -> None:
        for op in self._visible:
            self._decision(NAMES.get(op, op), expected.ops.count(op), found.ops.count(op), undecided, also)
        if self._lazy and found.lazy is not None:
            self._decision(NEXT_KERNEL, int(bool(expected.lazy)), int(found.lazy), undecided, also)

    def _decision(self, name: str, here: int, there: int, undecided: bool, also: Sequence[str]) -> None:
        decision = self.decisions[name]
        decision.predicted += bool(here)
        decision.seen += bool(there)
        if name in also or (undecided and here != there):
            decision.undecided += 1
        elif here == there:
            decision.agree += 1
        else:
            decision.differ += 1

    def _count(self, path: Path, seen: Seen, found: View) -> None:
        ends = {"end_context_switch": 0, "load_sp0": 1}
        for op, hypercalls in path.hypercalls.items():
            if op not in self._visible or (op in ends and seen.flushes is None):
                continue  # the recording does not show whether it crossed
            entry = self.by_op.setdefault(op, {"predicted": 0, "seen": 0})
            entry["predicted"] += hypercalls
        for op in [op for op in self.by_op if op in ends or op in seen.ops]:
            if op not in ends:
                happened = seen.ops.count(op)
            else:
                happened = sum(bool(f.entries) for f in (seen.flushes or [])[ends[op] : ends[op] + 1])
            self.by_op[op]["seen"] += happened
        if seen.flushes is None or not self._flushes:
            return
        for numbers, flushes in ((self.predicted, path.flushes), (self.seen, seen.flushes)):
            for flushed in flushes:
                numbers.hypercalls += bool(flushed.entries)
                numbers.entries += flushed.entries
                numbers.arg_bytes += flushed.arg_bytes
                numbers.callbacks += flushed.callbacks
        for at, name in enumerate(FLUSH_NAMES):
            batches = self.batches[name]
            for table, flushes in ((batches.predicted, path.flushes), (batches.seen, seen.flushes)):
                if at < len(flushes):
                    key = ", ".join(str(n) for n in flushes[at])
                    table[key] = table.get(key, 0) + 1

    def _undecided(
        self,
        number: int,
        predicted: Predicted,
        seen: Seen,
        name: tuple[str, str],
        expected: View,
        found: View,
        reasons: Sequence[str],
    ) -> None:
        self.switches.undecided += 1
        for reason in reasons:
            self._reason(reason).switches += 1
        self._class("undecided", number, predicted, seen, name, expected, found, reasons)

    def _reason(self, name: str) -> Reason:
        return self.reasons.setdefault(name, Reason(text=REASONS[name]))

    def _class(
        self,
        verdict: str,
        number: int,
        predicted: Predicted,
        seen: Seen,
        name: tuple[str, str],
        expected: View,
        found: View,
        reasons: Sequence[str],
    ) -> None:
        what = expected.shape()
        if found.shape() != what:
            what += f" / {found.shape()}"
        elif expected.ops != found.ops:
            what += " / another order"
        if expected.lazy != found.lazy and found.lazy is not None:
            what += f" / next is a {'kernel thread' if found.lazy else 'user task'}"
        key = verdict, f"{what} {reasons}"
        known = self.classes.get(key)
        if known is not None:
            known.count += 1
            return
        self.classes[key] = Class(
            verdict=verdict,
            what=what,
            count=1,
            reasons=list(reasons),
            example=Example(
                switch=number,
                time_ns=seen.time_ns,
                cpu=seen.cpu,
                prev=name[0],
                next=name[1],
                predicted=expected.words(),
                seen=found.words(),
                lines=seen.lines,
                shape=[guard for guard in GUARDS if predicted.facts[guard]]
                + ([f"tls={predicted.facts['tls']}"] if predicted.facts["tls"] else []),
            ),
        )


def _said(sign: str) -> str:
    kind, _, rest = sign.partition(":")
    return rest.removesuffix(":args").replace("<-", " <-") + (" called" if kind == "fn" else " event")


def validate(
    recording: Recording,
    survey: Survey,
    kernel: Kernel,
    backend: Backend,
    assume: Mapping[str, str] | None = None,
) -> Result:
    """Validate *kernel* on *backend* (its name says whether it is Xen) against *recording*.

    :class:`TraceError` when the recording holds no switch, :class:`UsageError`
    when it has no evidence for this backend.
    """
    xen = backend.name == "xen"
    windows = Windows(recording.items(), survey, xen)
    lazy = {"fn:enter_lazy_tlb", "fn:switch_mm_irqs_off"} <= survey.signs.keys()
    if not survey.switches:
        raise TraceError(f"{recording.path}: no context switch in it", "Record sched:sched_switch, too.")
    if not windows.shown and not survey.flushes:
        raise UsageError(
            f"{recording.path}: no evidence of what a switch did on {backend.name}",
            "Record xen:* events, or functions of the switch path, or tlb:tlb_flush and x86_fpu:* with it.",
        )
    if xen and kernel.version >= (5, 9):
        assume = {"abi": "x86_64", **(assume or {})}  # a Xen PV guest has 64 bits from 5.9 on
    prediction = Prediction(recording, kernel, assume)
    comparison = Comparison(
        Paths(kernel, backend),
        windows.shown,
        xen and survey.flushes,
        lazy,
        prediction.told.execs,
        recording.graphed,
    )
    for number, (predicted, seen) in enumerate(zip(prediction, windows, strict=True)):
        known = predicted.known
        if (known.time_ns, known.cpu, known.prev, known.next) != (
            seen.time_ns,
            seen.cpu,
            seen.prev,
            seen.next,
        ):
            raise TraceError(f"{recording.path}: switch {number} is not where the evidence has it")
        who = (
            f"{recording.name(known.prev_comm)}-{known.prev}",
            f"{recording.name(known.next_comm)}-{known.next}",
        )
        comparison.judge(number, predicted, seen, who)
    signs = XEN_SIGNS if xen else NATIVE_SIGNS
    path_ops = {XTRA, *(op for step in kernel.steps for op in step.ops)}
    order = {"different": 0, "undecided": 1, "xtra undecided": 2}
    classes = sorted(comparison.classes.values(), key=lambda c: (order[c.verdict], -c.count))
    return Result(
        path=recording.path,
        format=recording.format,
        kernel=kernel.name,
        backend=backend.name,
        switches=comparison.switches,
        decisions=comparison.decisions,
        flushes=comparison.batches,
        predicted=comparison.predicted,
        seen=comparison.seen,
        by_op=comparison.by_op,
        confusion=comparison.confusion,
        reasons=dict(sorted(comparison.reasons.items())),
        classes=classes[:CLASSES_MAX],
        other_work=comparison.other,
        not_shown=[op for op in signs if op in path_ops and op not in windows.shown],
        lost_events=survey.lost,
        notes=_notes(recording, survey),
    )


def _notes(recording: Recording, survey: Survey) -> list[str]:
    if recording.style != GRAPH:
        return []
    notes = ["function_graph text holds no flush sizes, no system calls and no births."]
    if survey.lost:
        notes.append(f"{survey.lost} switches are left out: whom the CPU went to is not told (lost_events).")
    return notes
