"""One unit step by step as text: what the machine did, op by op, on one backend or two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pvreplay.replay.locate import TaskThen
from pvreplay.replay.walk import Broken, Walk, WalkStep
from pvreplay.report.figures import count, number
from pvreplay.report.page import Page, Span, fit, width_of
from pvreplay.report.show import Row, Shown, aligned, paid, price, reason

INDEX = 4
"""Columns of an op's number."""
PENDING = 12
"""Columns that a list of pending resources needs to stand beside the op."""
ROOMY = 18
"""Columns for it that are worth a shorter heading elsewhere."""
SHORT = {"hypercalls": "calls", "ROM calls": "ROM"}
SEVERITIES = {"security": "bad", "error": "bad", "perf": "warn"}
STATES = {
    "fpu": "FPU registers live",
    "gs": "user segment loaded",
    "dr": "debug registers",
    "io_bitmap": "I/O bitmap",
    "notsc": "TSC off",
    "blockstep": "block step",
    "parked": "lazy MMU mode parked",
}


def render(
    shown: Shown, *, width: int = 80, color: bool = False, ascii: bool = False, verbose: int = 0
) -> str:
    """*shown* as text; *verbose* adds the steps that were skipped, and why."""
    page = Page(width, ascii)
    header(page, shown)
    page.blank()
    if len(shown.walks) < 2 or not side_by_side(page, shown.walks, verbose):
        for walk in shown.walks:
            page.blank()
            alone(page, walk, verbose)
    page.blank()
    advice(page, shown.walks)
    for note in shown.notes:
        page.flow("note:", note, indent=6, first=0)
    if not verbose and any(not step.taken for walk in shown.walks for step in walk.steps):
        skipped = sum(not row.any.taken for row in aligned(shown.walks))
        page.line((f"{count(skipped, 'step')} of the path skipped; -v shows them and why", "dim"))
    return page.text(color)


# --- what it is ------------------------------------------------------------------------


def header(page: Page, shown: Shown) -> None:
    """Which unit of which trace, whose, and what was true."""
    located = shown.located
    kind = f"({shown.format})" if shown.format else ""
    page.flow((shown.path, "title"), kind, ("on kernel", "dim"), (shown.kernel, "title"), indent=2, first=0)
    if shown.violation is not None:
        found = shown.violation
        page.flow(
            f"violation {shown.violation_number} of {shown.violations}:",
            (f"{found.rule} {found.name}", SEVERITIES[found.severity]),
            f"at {found.op}, {count(found.count, 'time')}, here first",
            indent=4,
            first=2,
        )
    what = {
        "switch": "switch",
        "nm": "device-not-available fault (#NM)",
        "leave_mm": "leave_mm() at a flush IPI",
        "sequence": "sequence of ops" if located.number is None else "switch",
    }[shown.unit]
    if located.number is not None:
        what += f" {located.number:,}, counted from 0"
    place = f"event {located.event:,}, cpu {located.cpu}, {located.time_ns / 1e9:.9f} s"
    page.flow(f"{what}: {place}", indent=4, first=2)
    if located.prev == located.next:
        page.flow((located.prev, "name"), indent=4, first=2)
    else:
        page.flow((located.prev, "name"), "->", (located.next, "name"), indent=4, first=2)
    if located.ordinal is not None and located.began is not None:
        which = f"switch {located.ordinal + 1} of" if located.ordinal else "the first switch of"
        page.flow(f"{which} the sequence that began at event {located.began:,}", indent=4, first=2)
    if shown.unit == "switch":
        page.flow("shape:", ", ".join(shown.shape) or "no guard is true", indent=9, first=2)
    for who, state in (("prev:", located.prev_then), ("next:", located.next_then)):
        if state is not None:
            page.flow((who, "dim"), (task_state(state), "dim"), indent=9, first=2)


def task_state(state: TaskThen) -> str:
    """What a switch looks at in a task, less what is zero."""
    parts = [f"mm {state.mm}" if state.mm else "no mm"]
    if state.ldt:
        parts.append(f"ldt {state.ldt:x}")
    if any(state.tls):
        parts.append(f"tls {','.join(f'{word:x}' for word in state.tls)}")
    if state.iopl:
        parts.append(f"iopl {state.iopl}")
    if state.fpu_counter:
        parts.append(f"fpu_counter {state.fpu_counter}")
    parts += [words for name, words in STATES.items() if getattr(state, name)]
    return ", ".join(parts)


# --- one backend -------------------------------------------------------------------------


def alone(page: Page, walk: Walk, verbose: int) -> None:
    """A table of ops with what has been paid and what is pending after each."""
    title(page, walk)
    page.line(("  after each op: entries queued, what has been paid so far, writes still queued", "dim"))
    columns = _columns(page, walk)
    page.line((columns.head, "head"))
    last: tuple[int, int] | None = None
    pending: list[str] = []
    for row in aligned([walk]):
        step = row.any
        if walk.forgotten and step is walk.steps[-1]:
            page.line((f"{'':>{INDEX}}  {count(walk.forgotten, 'op')} not remembered", "dim"))
        last = path_line(page, row, [walk], last, verbose)
        if step.index is None:
            continue
        _op_line(page, step, columns)
        if columns.pending < PENDING and step.pending != pending:
            if step.pending:
                _pending_line(page, [walk], [step.pending])
            pending = step.pending
        notes(page, step)


class _Columns(NamedTuple):
    """Widths of a table of ops; the list of pending writes has its own lines when *pending* is too little."""

    head: str
    op: int
    became: int
    numbers: list[int]
    fields: list[str]
    left: int
    pending: int


def _columns(page: Page, walk: Walk) -> _Columns:
    fields = paid([walk])
    op = _op_width(page, [walk], page.width // 3)
    became = max(len("became"), *(width_of(page.safe(_became(step))) for step in walk.steps))
    most = [max((step.queue for step in walk.steps), default=0), *price(walk.totals, list(fields.values()))]
    for names in ({}, SHORT):
        heads = ["queue", *(names.get(word, word) for word in fields)]
        numbers = [max(len(head), len(number(value))) for head, value in zip(heads, most, strict=True)]
        left = INDEX + 2 + op + 2 + became + sum(2 + columns for columns in numbers)
        pending = page.width - left - 2
        if pending >= ROOMY:
            break
    head = f"{'#':>{INDEX}}  {'op':<{op}}  {'became':<{became}}"
    head += "".join(f"  {name:>{columns}}" for name, columns in zip(heads, numbers, strict=True))
    head += "  pending" if pending >= PENDING else ""
    return _Columns(head, op, became, numbers, list(fields.values()), left, pending)


def _op_line(page: Page, step: WalkStep, columns: _Columns) -> None:
    values = [step.queue, *price(step.sums, columns.fields)]
    cells = "".join(
        f"  {number(value):>{width}}" for value, width in zip(values, columns.numbers, strict=True)
    )
    pending = _lines(step.pending, columns.pending) if columns.pending >= PENDING else [""]
    page.line(
        f"{step.index:>{INDEX}}  ",
        (_padded(page, _op(step), columns.op), "name"),
        f"  {_padded(page, _became(step), columns.became)}",
        cells,
        f"  {pending[0]}" if pending[0] else "",
    )
    for more in pending[1:]:
        page.line(" " * (columns.left + 2) + more)


def title(page: Page, walk: Walk) -> None:
    """The backend and what the whole unit costs on it."""
    page.flow((f"{walk.backend}:", "title"), _cost(walk), indent=2, first=0)


def _cost(walk: Walk) -> str:
    totals = walk.totals
    parts = [count(totals.hypercalls, "hypercall")]
    if totals.entries:
        parts.append(count(totals.entries, "entry", "entries"))
    if totals.traps:
        parts.append(count(totals.traps, "trap"))
    if totals.rom_calls:
        parts.append(count(totals.rom_calls, "ROM call"))
    return ", ".join(parts)


# --- two backends -------------------------------------------------------------------------


def side_by_side(page: Page, walks: Sequence[Walk], verbose: int) -> bool:
    """The backends as columns of one table; False, and nothing written, when they do not fit."""
    fields = paid(walks)
    values = list(fields.values())
    ops = _op_width(page, walks, page.width // 3)
    sides = []
    for walk in walks:
        became = max(len("became"), *(width_of(page.safe(_became(step))) for step in walk.steps))
        spent = max(len("paid"), len(_paid(walk.totals, values))) if values else 0
        sides.append((became, spent, became + 2 + len("queue") + (2 + spent if values else 0)))
    if INDEX + 2 + ops + sum(3 + side for _, _, side in sides) > page.width:
        return False
    for walk in walks:
        title(page, walk)
    if values:
        page.line((f"  paid: {'/'.join(fields)} so far", "dim"))
    page.blank()
    blank = " " * (INDEX + 2 + ops)
    names = [
        (f"   {fit(page.safe(walk.backend), side[2]):<{side[2]}}", "title")
        for walk, side in zip(walks, sides, strict=True)
    ]
    page.line(blank, *names)
    head = f"{'#':>{INDEX}}  {'op':<{ops}}"
    for became, spent, _ in sides:
        head += f"   {'became':<{became}}  queue"
        head += f"  {'paid':>{spent}}" if values else ""
    page.line((head, "head"))
    last: tuple[int, int] | None = None
    pending = [[] for _ in walks]  # type: list[list[str]]
    for row in aligned(walks):
        last = path_line(page, row, walks, last, verbose)
        if all(step is None or step.index is None for step in row.steps):
            continue
        shown = [step for step in row.steps if step is not None and step.index is not None]
        index = "/".join(dict.fromkeys(str(step.index) for step in shown))
        if len(index) > INDEX:
            index = str(shown[0].index)
        spans: list[Span | str] = [f"{index:>{INDEX}}  ", (_padded(page, _op(shown[0]), ops), "name")]
        for step, (became, spent, side) in zip(row.steps, sides, strict=True):
            if step is None or step.index is None:
                spans.append(" " * (3 + side))
                continue
            cell = f"   {_padded(page, _became(step), became)}  {step.queue:>5}"
            spans.append(cell + (f"  {_paid(step.sums, values):>{spent}}" if values else ""))
        page.line(*spans)
        after = [
            step.pending if step is not None else had for step, had in zip(row.steps, pending, strict=True)
        ]
        if after != pending and any(after):
            _pending_line(page, walks, after)
        pending = after
        for step, walk in zip(row.steps, walks, strict=True):
            if step is not None:
                notes(page, step, walk.backend)
    return True


def _pending_line(page: Page, walks: Sequence[Walk], after: Sequence[list[str]]) -> None:
    if all(names == after[0] for names in after):
        page.flow(("pending:", "dim"), (", ".join(after[0]), "dim"), indent=INDEX + 4)
        return
    parts = [
        f"{walk.backend}: {', '.join(names) or 'nothing'}" for walk, names in zip(walks, after, strict=True)
    ]
    page.flow(("pending on", "dim"), ("; ".join(parts), "dim"), indent=INDEX + 4)


# --- lines both have -----------------------------------------------------------------------


def path_line(
    page: Page, row: Row, walks: Sequence[Walk], last: tuple[int, int] | None, verbose: int
) -> tuple[int, int] | None:
    """The kernel's step an op belongs to, with its guard, before the first of its ops."""
    step = row.any
    here = step.place[:2]
    if not step.guard or here == last:
        return here
    taken = [other is not None and other.taken for other in row.steps]
    why = reason(step)
    guard = {"true": "always", "false": "never"}.get(step.guard, step.guard)
    if not any(taken):
        if verbose:
            told = f"{why} ({guard})" if why and why != f"not {guard}" else why or guard
            page.flow((f"{step.step}: skipped, {told}", "dim"), indent=INDEX + 4, first=INDEX + 2)
        return here
    if step.index is None and all(taken) and not verbose:
        return here  # a step of the path that does nothing a machine could see
    if all(taken):
        # Where every name had to be true, the names that decided are the guard again.
        text = f"{guard}: {why}" if why and why != guard.replace(" and ", ", ") else guard
    else:
        off = [
            f"{walk.backend}: skipped, {reason(other)}"
            for walk, other in zip(walks, row.steps, strict=True)
            if other is not None and not other.taken
        ]
        text = "; ".join([guard, *off])
    if step.index is None and all(taken):
        text += "; no op"
    page.flow((f"{step.step}:", "dim"), (text, "dim"), indent=INDEX + 4, first=INDEX + 2)
    return here


def notes(page: Page, step: WalkStep, backend: str = "") -> None:
    """What else there is to say of an op: the flush it took, the rules it broke."""
    whose = f"{backend}: " if backend else ""
    if step.flush:
        calls = count(step.hypercalls, "hypercall")
        verb = "carries" if step.hypercalls == 1 else "carry"
        text = f"{whose}flush by {step.flush}: {calls} {verb} {count(step.flushed, 'entry', 'entries')}"
        page.flow((text, "good"), indent=INDEX + 4)
    for found in step.broken:
        page.flow(
            ("<--", "mark"),
            (f"{whose}{found.rule} {found.name}: {found.message}", SEVERITIES[found.severity]),
            indent=INDEX + 8,
            first=INDEX + 4,
        )


def advice(page: Page, walks: Sequence[Walk]) -> None:
    """What to do about each rule that was broken, once."""
    found: dict[str, Broken] = {}
    for walk in walks:
        for step in walk.steps:
            for broken in step.broken:
                found.setdefault(broken.rule, broken)
    for broken in found.values():
        page.flow(
            (broken.rule, "title"),
            broken.advice,
            (f" pvreplay rule {broken.rule}", "name"),
            indent=2,
            first=0,
        )
    if found:
        page.blank()


# --- cells ---------------------------------------------------------------------------------


def _op(step: WalkStep) -> str:
    return step.op if step.repeat == 1 else f"{step.op} x{step.repeat:,}"


def _became(step: WalkStep) -> str:
    """What the backend made of it; a transition is called by the mode it leads to."""
    if step.became == "mode":
        return f"{step.mode} on" if step.mode != "none" else "mode off"
    return "" if step.became == "event" else step.became


def _paid(totals: object, fields: Sequence[str]) -> str:
    return "/".join(f"{getattr(totals, field):,}" for field in fields)


def _op_width(page: Page, walks: Sequence[Walk], most: int) -> int:
    widths = [width_of(page.safe(_op(step))) for walk in walks for step in walk.steps]
    return min(max(2, *widths), most)


def _padded(page: Page, text: str, columns: int) -> str:
    safe = fit(page.safe(text), columns, page.ellipsis)
    return safe + " " * (columns - width_of(safe))


def _lines(names: Sequence[str], room: int) -> list[str]:
    """Names joined by commas, cut into lines of at most *room* columns where there is one."""
    lines = [""]
    for place, name in enumerate(names):
        word = name + ("," if place < len(names) - 1 else "")
        if lines[-1] and width_of(lines[-1]) + 1 + width_of(word) > room:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines
