"""State of tasks that a recording does not tell, learnt from the switches already compared.

That a task has the TSC disabled, a selector in %gs or an I/O bitmap, or that an
mm has an LDT, is one unknown for all its switches; so is the number of TLS slots
that differ between two sets of descriptors.  The first switch that shows it
stays undecided; from then on it is part of the prediction, which can be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pvreplay.validate.contents import Gap

Key = int | tuple[int, int]


class Learnt:
    """What was learnt of each task, mm, and pair of TLS contents."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, Key], int] = {}
        self._refuted: set[tuple[str, Key]] = set()
        self._certain: set[tuple[str, Key]] = set()
        """Shown by a switch that nothing else explains."""

    def settle(self, gaps: Sequence[Gap], facts: Mapping[str, int]) -> tuple[list[Gap], Mapping[str, int]]:
        """*gaps* and *facts* with what is known by now; likelier gaps first."""
        settled: list[Gap] = []
        changed = dict(facts)
        for gap in gaps:
            if isinstance(gap.key, tuple):
                exact = self._facts.get((gap.reason, gap.key))
                changed["tls"] = self._slots(gap.key, changed["tls"]) if exact is None else exact
                if exact is None or not self._settled(gap):
                    settled.append(gap)
                continue
            known = self._facts.get((gap.reason, gap.key)) if gap.key else None
            if known is None or not self._settled(gap):
                settled.append(gap)
            for name, value in gap.facts.items() if known else ():
                if value:
                    changed[name] = 1
                    if not self._settled(gap):
                        settled.append(Gap(gap.reason, {name: 0}, key=gap.key))
        settled.sort(key=lambda gap: ((gap.reason, gap.key) in self._refuted, not gap.key))
        return settled, changed

    def _settled(self, gap: Gap) -> bool:
        return gap.lasting and (gap.reason, gap.key) in self._certain

    def _slots(self, key: tuple[int, int], default: int) -> int:
        """The likely number of differing slots: each side's own, counted against empty ones."""
        if not key[0]:
            return default
        sides = [self._facts.get(("tls", (0, token))) for token in key]
        known = [slots for slots in sides if slots is not None]
        return max(known) if len(known) == len(key) else max([default, *known])

    def learn(self, gaps: Sequence[Gap], certain: bool = False) -> None:
        """Take the gaps that explained a switch; *certain* when nothing else would."""
        for gap in gaps:
            if gap.key:
                value = next(iter(gap.facts.values()))
                self._facts[gap.reason, gap.key] = value
                (self._certain.add if certain else self._certain.discard)((gap.reason, gap.key))
                if not value and not isinstance(gap.key, tuple):
                    self._refuted.add((gap.reason, gap.key))

    def hold(self, gaps: Sequence[Gap], facts: Mapping[str, int]) -> None:
        """A switch that shows what *gaps* hang on was as predicted: they have the values it took."""
        for gap in gaps:
            if isinstance(gap.key, tuple):
                self._facts[gap.reason, gap.key] = facts["tls"]
            else:
                self._facts[gap.reason, gap.key] = facts[next(iter(gap.facts))]
            self._certain.add((gap.reason, gap.key))
