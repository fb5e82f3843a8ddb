"""State of tasks that a recording does not tell, learnt from the switches already compared.

That a task has the TSC disabled, a TLS segment, a selector in %gs or an I/O
bitmap is one unknown for all its switches.  The first switch that shows it
stays undecided; from then on it is part of the prediction, which can be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pvreplay.validate.known import Gap


class Learnt:
    """What was learnt of each task."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, int], int] = {}
        self._refuted: set[tuple[str, int]] = set()

    def settle(self, gaps: Sequence[Gap], facts: Mapping[str, int]) -> tuple[list[Gap], Mapping[str, int]]:
        """*gaps* and *facts* with what is known by now; likelier gaps first."""
        settled, changed = list(gaps), dict(facts)
        for gap in gaps:
            known = self._facts.get((gap.reason, gap.task), 0) if gap.task else 0
            if not known:
                continue
            for name, value in gap.facts.items():
                if name == "tls":
                    if value == known:
                        changed["tls"] = max(changed["tls"], known)
                elif value:
                    changed[name] = 1
                    settled.append(Gap(gap.reason, {name: 0}, task=gap.task))
        settled.sort(key=lambda gap: (gap.reason, gap.task) in self._refuted)
        return settled, changed

    def learn(self, gaps: Sequence[Gap]) -> None:
        """Take the gaps that explained a switch."""
        for gap in gaps:
            if gap.task:
                key = gap.reason, gap.task
                value = next(iter(gap.facts.values()))
                self._facts[key] = value
                if not value:
                    self._refuted.add(key)
