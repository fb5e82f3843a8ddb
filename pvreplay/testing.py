"""What a trace costs, as values that a test compares and that explain themselves when it fails.

The pytest plugin's fixture is a :class:`Replays`; in a test without pytest::

    cost = Replays()("trace.bin", backend="xen")
    assert cost.per_switch <= 1.0
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pvreplay.api import DEFAULT_KERNEL, Price, Replay, Spec
from pvreplay.errors import PvreplayError, TraceError, UsageError
from pvreplay.replay.result import Report, Violation
from pvreplay.report.escape import terminal
from pvreplay.report.figures import count, number, percent

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.replay.histogram import Histogram

OPS = 8
"""Ops that an explanation lists."""


class Rate(float):
    """A number of a cost per switch; compares as a float and knows where it comes from."""

    cost: Cost
    metric: str


class Amount(int):
    """A total of a cost; compares as an int and knows where it comes from."""

    cost: Cost
    metric: str


class Broken(list[Violation]):
    """Violations that a failed assertion shows in a few words each."""

    def __repr__(self) -> str:
        shown = [
            f"{one.rule} {one.name} at {one.op} on {', '.join(one.backends)}: {count(one.count, 'time')}"
            for one in self
        ]
        return f"[{'; '.join(map(terminal, shown))}]"


class Cost(Price):
    """A :class:`~pvreplay.api.Price` whose numbers know where they come from.

    ``errors`` are the broken rules that make ``pvreplay run`` exit with 1.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report
        self.path = report.path
        self.violations = Broken(self.violations)

    @property
    def per_switch(self) -> Rate:
        """Hypercalls per context switch, those outside a switch included."""
        return self._rate("hypercalls")

    @property
    def entries_per_switch(self) -> Rate:
        """Queued ops per context switch."""
        return self._rate("entries")

    @property
    def traps_per_switch(self) -> Rate:
        """Emulated instructions per context switch."""
        return self._rate("traps")

    @property
    def hypercalls(self) -> Amount:
        """Crossings into the hypervisor that the guest asked for."""
        return self._amount("hypercalls")

    @property
    def entries(self) -> Amount:
        """Entries that queued ops put into batches."""
        return self._amount("entries")

    @property
    def traps(self) -> Amount:
        """Privileged instructions that the hypervisor emulates."""
        return self._amount("traps")

    @property
    def rom_calls(self) -> Amount:
        """Calls into the VMI ROM."""
        return self._amount("rom_calls")

    @property
    def errors(self) -> Broken:
        """Broken rules of severity security or error."""
        return Broken(one for one in self.violations if one.severity != "perf")

    def _rate(self, metric: str) -> Rate:
        rate = Rate(getattr(self.result, metric) / self.switches)
        rate.cost, rate.metric = self, metric
        return rate

    def _amount(self, metric: str) -> Amount:
        amount = Amount(getattr(self.result, metric))
        amount.cost, amount.metric = self, metric
        return amount

    def __repr__(self) -> str:
        return terminal(f"<{self.backend}@{self.kernel} on {self.path}>")


class Cache:
    """Replays of a session: a trace is replayed once for all kernels that ask the same of it."""

    def __init__(self) -> None:
        self.histograms: dict[tuple[object, ...], Histogram] = {}


class Replays:
    """Gives costs; *cache* is shared, *folders* are where files are looked for before the current one."""

    def __init__(self, cache: Cache | None = None, folders: Sequence[Spec] = ()) -> None:
        self._cache = cache or Cache()
        self._folders = [os.fspath(folder) for folder in folders]

    def __call__(
        self,
        trace: Spec,
        *,
        backend: Spec = "xen",
        kernel: Spec = DEFAULT_KERNEL,
        assume: Mapping[str, str] | None = None,
        iopl: str | None = None,
        policy: str | None = None,
        allow_lost: bool = False,
    ) -> Cost:
        """What *trace* costs under *backend* on *kernel*.

        Arguments are those of ``pvreplay run``.  Raises the errors of the readers;
        TraceError for a damaged trace, one without a switch, and, unless *allow_lost*,
        one that lost events: its counts are lower bounds.
        """
        __tracebackhide__ = True  # the caller's line is what a failed test should show
        try:
            histogram, loaded = self._replay(trace, kernel, dict(assume or {}), iopl)
            report = Replay(loaded, histogram).report([self._find(backend)], policy=policy)
            report.path = os.fspath(trace)
            _usable(report, allow_lost)
        except PvreplayError as error:
            if error.hint:
                error.add_note(error.hint)
            raise
        return Cost(report)

    def _replay(
        self, trace: Spec, kernel: Spec, assume: dict[str, str], iopl: str | None
    ) -> tuple[Histogram, Kernel]:
        from pvreplay.kernels.reader import load_kernel
        from pvreplay.replay.histogram import replay_rules
        from pvreplay.replay.run import replay
        from pvreplay.sources.detect import open_trace

        __tracebackhide__ = True
        path = self._find(trace)
        if not os.path.isfile(path):
            looked = ", ".join(dict.fromkeys([*self._folders, os.getcwd()]))
            raise UsageError(f"{path}: no such file", f"Looked in {looked}.")
        loaded = load_kernel(self._find(kernel), iopl=iopl)
        stat = os.stat(path)
        key = (
            os.path.realpath(path),
            stat.st_mtime_ns,
            stat.st_size,
            *sorted(assume.items()),
            *sorted(replay_rules(loaded).items()),
        )
        if key not in self._cache.histograms:
            self._cache.histograms[key] = replay(open_trace(path, assume=assume), loaded)
        return self._cache.histograms[key], loaded

    def __repr__(self) -> str:
        return "hypercalls"

    def _find(self, spec: Spec) -> str:
        """*spec*, or the file of that name in one of the folders."""
        name = os.fspath(spec)
        candidates = [os.path.join(folder, name) for folder in self._folders]
        return next((path for path in candidates if os.path.isfile(path)), name)


def _usable(report: Report, allow_lost: bool) -> None:
    __tracebackhide__ = True
    if report.damage:
        raise TraceError(f"{report.path}: {report.damage}", "Record or copy it again.")
    if report.switches == 0:
        raise TraceError(f"{report.path}: no switch in {count(report.events, 'event')}", "")
    if report.lost_events and not allow_lost:
        raise TraceError(
            f"{report.path}: {count(report.lost_events, 'event')} lost: counts are lower bounds",
            "Pass allow_lost=True to accept that.",
        )


# --- explanations ----------------------------------------------------------------------------------


def explain(op: str, left: object, right: object) -> list[str] | None:
    """Lines on ``left op right``; None when neither is a figure of a cost."""
    figures = [one for one in (left, right) if isinstance(one, Rate | Amount)]
    if not figures:
        return None
    lines = [f"{_shown(left)} {op} {_shown(right)}"]
    if len(figures) == 2:
        lines += _difference(figures[0], figures[1])
    else:
        limit = right if left is figures[0] else left
        lines += _made_of(figures[0], limit)
    return [terminal(line) for line in lines]


def _shown(value: object) -> str:
    if isinstance(value, Rate | Amount):
        return f"{_figure(value)} ({value.cost.backend}@{value.cost.kernel})"
    return _figure(value) if isinstance(value, int | float) else repr(value)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.4f}".rstrip("0").rstrip(".")


def _made_of(figure: Rate | Amount, limit: object) -> list[str]:
    """What one figure consists of."""
    cost, metric = figure.cost, figure.metric
    whole = int(getattr(cost.result, metric))
    lines = [f"{cost.path}: {count(cost.switches, 'switch', 'switches')}, {number(whole)} {_name(metric)}"]
    if isinstance(limit, int | float) and not isinstance(limit, bool):
        allowed = limit * cost.switches if isinstance(figure, Rate) else limit
        over = whole - allowed
        if over > 0:
            lines.append(f"{_figure(round(over, 4))} more than {_figure(limit)} allows")
    lines.append("by op:")
    rows = [(op, getattr(totals, metric)) for op, totals in cost.by_op.items()]
    rows = sorted(((op, n) for op, n in rows if n), key=lambda row: (-row[1], row[0]))
    for op, n in rows[:OPS]:
        lines.append(f"  {op:<20} {n:>12,}  {percent(n, whole):>7}  {n / cost.switches:.4f} per switch")
    if rows[OPS:]:
        lines.append(f"  {len(rows) - OPS} more ops {sum(n for _, n in rows[OPS:]):>15,}")
    if metric == "hypercalls":
        lines += _distribution(cost)
    return lines


def _distribution(cost: Cost) -> list[str]:
    outside = {name: totals.hypercalls for name, totals in cost.result.outside.items() if totals.hypercalls}
    lines = ["hypercalls in a switch:"]
    common = sorted(cost.histogram.items(), key=lambda item: (-item[1], item[0]))[:OPS]
    for n, switches in sorted(common):
        share = percent(switches, cost.switches)
        lines.append(f"  {n:>3}  {count(switches, 'switch', 'switches'):>18}  {share:>7}")
    if len(cost.histogram) > OPS:
        lines.append(f"  and {len(cost.histogram) - OPS} more numbers")
    if outside:
        lines.append(f"outside a switch: {', '.join(f'{name} {n:,}' for name, n in sorted(outside.items()))}")
    return lines


def _difference(a: Rate | Amount, b: Rate | Amount) -> list[str]:
    """What makes two figures differ."""
    from pvreplay.report.compare import compare

    one, other = a.cost, b.cost
    pair = compare(
        repr(one), repr(other), [(one.report, one.result, other.report, other.result)], [], ""
    ).pairs[0]
    lines = [f"{one!r}: {_sum(one, a.metric)}", f"{other!r}: {_sum(other, b.metric)}"]
    changes: list[tuple[Any, int, int]] = [
        (change, getattr(change.a, a.metric), getattr(change.b, b.metric)) for change in pair.by_op
    ]
    changes = [change for change in changes if change[1] != change[2]]
    changes.sort(key=lambda change: (-abs(change[1] - change[2]), change[0].op))
    if changes:
        lines.append("by op, left and right:")
    for change, n, m in changes[:OPS]:
        lines.append(f"  {change.op:<20} {n:>12,} {m:>12,} {n - m:>+12,}  {change.how}")
    if changes[OPS:]:
        lines.append(f"  {len(changes) - OPS} more ops")
    return lines


def _sum(cost: Cost, metric: str) -> str:
    total = number(getattr(cost.result, metric))
    return f"{total} {_name(metric)} in {count(cost.switches, 'switch', 'switches')}"


def _name(metric: str) -> str:
    return "ROM calls" if metric == "rom_calls" else metric
