"""Violations, drawn like a compiler's diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from pvreplay.replay.result import DrawnStep, Report, Violation
from pvreplay.report import order
from pvreplay.report.figures import count
from pvreplay.report.page import Page, width_of

CONTEXT = 3
"""Steps shown before and after the one at fault, unless verbose."""
STYLE = {"security": "bad", "error": "bad", "perf": "warn"}


def findings(page: Page, report: Report, *, top: int, verbose: int) -> None:
    """The verdict in one line, then what breaks a rule drawn, then performance findings, a line each.

    *verbose* draws those too, and lifts *top*.
    """
    ranked = order.violations(report.violations)
    drawn = [found for found in ranked if verbose or found.severity != "perf"]
    listed = joined([found for found in ranked if not verbose and found.severity == "perf"])
    page.flow(*_verdict([*drawn, *listed]))
    if report.not_checked:
        _not_checked(page, report.not_checked, verbose)
    names = [result.name for result in report.backends]
    groups: dict[tuple[str, str], list[Violation]] = {}
    for found in drawn:
        groups.setdefault((found.rule, found.op), []).append(found)
    for group in list(groups.values())[: None if verbose else top]:
        page.blank()
        violation_lines(page, group[0], names, verbose)
        for found in group[1:]:
            _also(page, found, names)
    if listed:
        page.blank()
    for found in listed[:top]:
        _one_line(page, found, names)
    hidden = 0 if verbose else max(0, len(groups) - top) + max(0, len(listed) - top)
    if hidden or listed:
        more = f"{hidden} more; " if hidden else ""
        page.line((f"  {more}-v draws every one, pvreplay rule CODE explains it", "dim"))


def joined(listed: list[Violation]) -> list[Violation]:
    """Findings that a line each would spell the same, as one: in a switch and in #NM, say."""
    joined: dict[tuple[str, ...], Violation] = {}
    for found in listed:
        key = (found.rule, found.op, found.message, *found.backends)
        seen = joined.get(key)
        count = found.count + (seen.count if seen is not None else 0)
        joined[key] = msgspec.structs.replace(seen or found, count=count)
    return order.violations(joined.values())


def _also(page: Page, found: Violation, priced: list[str]) -> None:
    """The same rule at the same op, on other backends or in other company."""
    first = f" (first: event {found.first.event:,})" if found.first else ""
    page.flow(
        ("also", "dim"),
        where(found.backends, priced),
        f" {count(found.count, 'time')}{first}:",
        f" {found.message}",
        indent=4,
        first=2,
    )


def _one_line(page: Page, found: Violation, priced: list[str]) -> None:
    page.flow(
        (found.rule, "title"),
        found.name,
        f" {where(found.backends, priced)}",
        f" {count(found.count, 'time')}",
        f" {found.op}: {found.message}",
        indent=4,
        first=0,
    )


def _verdict(told: list[Violation]) -> list[tuple[str, str]]:
    if not told:
        return [("no rule broken", "good")]
    counts = order.counted(told)
    return [
        (words if severity == counts[-1][0] else f"{words},", STYLE[severity]) for severity, words in counts
    ]


def _not_checked(page: Page, not_checked: dict[str, str], verbose: int) -> None:
    if not verbose:
        page.flow(
            ("not checked:", "dim"),
            (", ".join(sorted(not_checked)), "dim"),
            ("(-v says why)", "dim"),
            indent=2,
        )
        return
    reasons: dict[str, list[str]] = {}
    for rule, why in sorted(not_checked.items()):
        reasons.setdefault(why, []).append(rule)
    for why, rules in reasons.items():
        page.flow((f"not checked: {', '.join(rules)}", "dim"), (f"({why})", "dim"), indent=4, first=2)


def violation_lines(page: Page, violation: Violation, priced: list[str], verbose: int) -> None:
    """One violation of a run that *priced* these backends: rule and place, the drawn steps, what to do."""
    page.flow(
        (violation.rule, "title"),
        (violation.name, "title"),
        (f" {violation.severity}", STYLE[violation.severity]),
        f" {where(violation.backends, priced)}",
        f" {count(violation.count, 'time')}",
        indent=4,
        first=0,
    )
    first = violation.first
    if first is not None:
        place = f"first: event {first.event:,}, cpu {first.cpu}, {first.time_ns / 1e9:.6f} s"
        who = first.next if first.prev == first.next else f"{first.prev} -> {first.next}"
        page.flow(f"{place}, {who}", indent=4, first=2)
    if violation.shape and verbose:
        page.flow(f"shape: {violation.shape}", indent=4, first=2)
    violation_body(page, violation, verbose)


def violation_body(page: Page, violation: Violation, verbose: int) -> None:
    """Below a violation's head: its steps, what followed, what to do, where to read on."""
    steps = violation.drawn if verbose else near(violation.drawn, violation.message)
    draw(page, steps, violation.message)
    if not any(step.mark for step in violation.drawn):
        page.flow(violation.message, indent=2)
    if violation.consequences:
        page.flow(("followed by", "dim"), (", ".join(violation.consequences), "dim"), indent=4, first=2)
    page.flow(violation.advice, indent=2)
    page.tail((f"pvreplay rule {violation.rule}", "name"), indent=2)


def where(backends: list[str], priced: list[str]) -> str:
    """The backends a violation fires on, without baselines unless it fires on nothing else."""
    if len(priced) > 1 and set(backends) >= set(priced):
        return "every backend"
    plain = [name for name in backends if not name.endswith(order.FORMS)]
    return ", ".join(plain or backends)


def near(drawn: list[DrawnStep], message: str) -> list[DrawnStep]:
    """The steps around the marked one, the step *message* names, and where the mode was entered."""
    marked = [place for place, step in enumerate(drawn) if step.mark]
    if not marked:
        return drawn[: 2 * CONTEXT + 1]
    words = message.replace(",", " ").split()
    named = {word for before, word in pairwise(words) if before == "step"}
    entered = [place for place, step in enumerate(drawn[: marked[0]]) if step.detail.startswith("mode lazy")]
    wanted = {
        place
        for place, step in enumerate(drawn)
        if any(abs(place - m) <= CONTEXT for m in marked) or str(step.index) in named
    }
    wanted.update(entered[-1:])
    # A gap of one step is no longer than the dots that would stand for it.
    return [step for place, step in enumerate(drawn) if place in wanted or {place - 1, place + 1} <= wanted]


def draw(page: Page, steps: Sequence[DrawnStep], message: str = "") -> None:
    """*steps*, one a line; *message* stands at the marked one."""
    columns = (
        max((width_of(page.safe(step.op)) for step in steps), default=0),
        max((width_of(page.safe(step.disposition)) for step in steps), default=0),
    )
    last = steps[0].index if steps else 0
    for step in steps:
        if step.index > last + 1:
            page.line(("     ...", "dim"))
        last = step.index
        _line(page, step, message, columns)


def _line(page: Page, step: DrawnStep, message: str, columns: tuple[int, int]) -> None:
    """``4  loadsegment gs    reads GDT.TLS   <-- still queued since step 3``."""
    op, disposition = page.safe(step.op), page.safe(step.disposition)
    gap = " " * (columns[0] - width_of(op)), " " * (columns[1] - width_of(disposition))
    text = f"{step.index:>6}  {op}{gap[0]}  {disposition}{gap[1]}  {page.safe(step.detail)}".rstrip()
    if not step.mark:
        page.line(text)
        return
    # "reads GDT.TLS" needs no "GDT.TLS still queued" after it.
    message = message.removeprefix(step.detail.partition(" ")[2]).strip() if step.detail else message
    mark = f"<-- {message}"
    if width_of(text) + 3 + width_of(page.safe(mark)) <= page.width:
        page.line(text, "   ", (mark, "mark"))
    else:
        page.line(text, "   ", ("<--", "mark"))
        page.flow((message, "mark"), indent=10)
