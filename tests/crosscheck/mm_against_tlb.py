"""Recovered address spaces against what the kernel did: `tlb_flush` in each switch.

    python tests/crosscheck/mm_against_tlb.py RECORDING...

For every switch whose two mms are known from births and execs inside the recording, the model says
whether CR3 is written; `tlb_flush` reason 0 with prev's pid, before the next switch on that CPU,
says whether it was.  The mm decisions are made with `--assume mm=per-task`, so they never see the
flushes.  Exit 1 when less than 99.8 % of all judged switches agree.
"""

from __future__ import annotations

import sys
from array import array

from pvreplay.sources import records as r
from pvreplay.sources.births import Births
from pvreplay.sources.detect import open_trace
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.trace.events import Kind, unpack

ENOUGH = 0.998


class Tap:
    """A decoder that keeps what it hands over."""

    def __init__(self, source: r.RawSource) -> None:
        self._source = source
        self.kept = array("Q")

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def fill(self, words: memoryview, start: int) -> int:
        end = self._source.fill(words, start)
        self.kept.extend(words[4 * start : 4 * end])
        return end


def flushes(words: array) -> dict[int, list[bool]]:
    """CPU -> for each of its switches, whether CR3 was written in it."""
    seen: dict[int, list[bool]] = {}
    prev: dict[int, int] = {}
    for at in range(0, len(words), 4):
        head, payload = words[at + 1], words[at + 2]
        cpu, kind = head & 0xFFFF, head >> 16 & 0xFF
        if kind == r.SWITCH:
            seen.setdefault(cpu, []).append(False)
            prev[cpu] = payload & 0xFFFFFFFF
        elif kind == r.TLB_FLUSH and payload & 0xFFFFFFFF == 0 and prev.get(cpu) == head >> 32:
            seen[cpu][-1] = True
            prev.pop(cpu)
    return seen


def judge(path: str) -> tuple[int, int, int, int, int]:
    """(flush and expected, none and none expected, missing, extra, undecided) switches."""
    trace = open_trace(path, assume={"mm": "per-task"})
    assert isinstance(trace, RecoveredTrace)
    tap = Tap(trace.source)
    trace.source = tap  # type: ignore[assignment]
    mm_of, sure, guessed, current, active = {0: 0}, {0}, set(), {}, {}
    expected: dict[int, list[bool | None]] = {}
    for chunk in trace.chunks():
        for task in chunk.tasks:
            mm_of[task.id] = task.mm
            if trace.evidence(task.id) not in Births.ASSUMED:
                sure.add(task.mm)
            elif trace.evidence(task.id) == "fork":
                guessed.add(task.mm)  # may be its parent's
        for i in range(0, len(chunk.events), 2):
            _, cpu, kind, arg, _ = unpack(chunk.events[i], chunk.events[i + 1])
            if kind == Kind.EXEC:
                mm_of[current[cpu]] = active[cpu] = arg
                sure.add(arg)
            elif kind == Kind.EXIT:
                mm_of[current[cpu]] = 0
            elif kind in (Kind.SWITCH, Kind.ON):
                mm, loaded = mm_of[arg], active.get(cpu)
                if kind == Kind.SWITCH:
                    known = mm == 0 or (
                        loaded is not None
                        and (mm == loaded or ((mm in sure or loaded in sure) and not {mm, loaded} & guessed))
                    )
                    expected.setdefault(cpu, []).append((mm not in (0, loaded)) if known else None)
                current[cpu] = arg
                if mm:
                    active[cpu] = mm
    seen = flushes(tap.kept)
    if not any(any(found) for found in seen.values()):
        raise SystemExit(f"{path}: no tlb_flush in it")
    counts = [0, 0, 0, 0, 0]
    for cpu, said in expected.items():
        for flush_expected, flush_seen in zip(said, seen[cpu], strict=True):
            if flush_expected is None:
                counts[4] += 1
            elif flush_expected:
                counts[0 if flush_seen else 2] += 1
            else:
                counts[3 if flush_seen else 1] += 1
    return tuple(counts)  # type: ignore[return-value]


def main(paths: list[str]) -> int:
    print(f"{'flush':>8} {'none':>8} {'missing':>8} {'extra':>8} {'undecided':>10}")
    right = wrong = 0
    for path in paths:
        flush, none, missing, extra, undecided = judge(path)
        right += flush + none
        wrong += missing + extra
        print(f"{flush:8} {none:8} {missing:8} {extra:8} {undecided:10}  {path.rsplit('/', 1)[-1]}")
    share = right / max(1, right + wrong)
    print(f"{right} right, {wrong} wrong: {share:.4%}")
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
