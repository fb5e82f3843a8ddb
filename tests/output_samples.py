"""Hostile names, and a report, a verdict and a comparison that hold one in every place a name can be."""

from __future__ import annotations

from hypothesis import strategies as st

from pvreplay.gate.verdict import Check, Contribution, Finding, TraceVerdict, Verdict
from pvreplay.replay.result import BackendResult, DrawnStep, First, Report, Totals
from pvreplay.report.compare import Comparison, compare
from tests.report_samples import report, violation, window

COMMS = (
    # what tasks can call themselves: the kernel's own spellings, and what text formats trip over
    "a b c",
    "x ==> next_comm",
    "p next_pid=7",
    "a-12 [003]",
    "(-----) x",
    "été",
    "",
    "a=b:c,d|e",
    "tab\there",
    "-1",
    "<...>",
    "nul\0nul",
    " padded ",
    "\x1b[31mred\x07",
    "line\nok 1 - x",
    "cr\r\nnot ok 2",
    "byte\udcff",
    "lone\ud800",
    "sep\u2028\u2029\x85",
    "\u202eevil\u2066",
    "\ufeffbom\ufffe",
    # markup
    "]]>",
    "<script>alert(1)</script>",
    "</details></table>",
    "<!-- x -->",
    "&amp;&#60;",
    "\"'",
    "{0} {{",
    "[a](http://e.org)",
    "![i](x)",
    "http://e.org www.e.org",
    "`tick` ``` ~~~",
    "a | b \\| c \\",
    "*x* _y_ ~z~ $m$",
    "1. one",
    "# heading",
    "> quote",
    "@octocat #12 !3 %4 ~5",
    # commands and formulas
    "::error::x",
    "%0A::error::x",
    "##[error]x",
    "x # SKIP",
    "=cmd()|' /C calc'!A0",
    "+1+1",
    "@SUM(1)",
    " =1+1",
    "'=1",
    "\uff1d1",
)

_MEAN = st.sampled_from(
    [*"|`<>&#%:@=+-[]{}()!*_~$\\\"'/", "\n", "\r", "\t", "\0", "\x1b", "\u2028", "\u202e", "\udcff"]
)
names = st.text(st.characters(codec=None) | _MEAN, max_size=24) | st.sampled_from(COMMS)
"""Any text at all, surrogates included, and often the characters that mean something."""


def hostile_report(name: str) -> Report:
    """A run in which every string that can come from outside is *name*."""
    found = violation(
        backends=["xen"],
        op=name,
        message=name,
        advice=name,
        shape=name,
        first=First(event=3, time_ns=5, cpu=0, prev=name, next=name),
        drawn=[
            DrawnStep(index=1, op=name, disposition="queued", detail=name),
            DrawnStep(index=2, op=name, disposition="immediate", detail=name, mark=True),
        ],
    )
    paid = Totals(hypercalls=3, entries=2, traps=1, count=4)
    result = BackendResult(
        name="xen",
        hypercalls=7,
        hypercalls_per_switch=0.25,
        entries=9,
        histogram={0: 3, 1: 7},
        in_switch=paid,
        flushes={name: 3},
        batch_sizes={2: 3},
        by_op={name: paid},
        by_task={1: paid},
        by_cpu={0: paid},
        by_shape={name: paid},
        notes=[name],
    )
    return report(
        backends=[result],
        violations=[found],
        path=name or "x",
        format=name,
        kernel=name,
        kernel_source=name,
        task_names={1: name or "task 1"},
        damage=name or "cut",
        lost_events=3,
        state={"mm": ("assumed", name, name)},
        doubts={name or "lines": 2},
        not_checked={"P4": name or "no sleep"},
        notes=[name],
        what_if=[
            window(
                event=name,
                after=name,
                before=name,
                message=name,
                advice=name,
                shape=name,
                drawn=[DrawnStep(index=3, op=name, disposition="put in", detail=name, mark=True)],
            )
        ],
    )


def hostile_verdict(name: str) -> Verdict:
    """A gate that failed in which every string that can come from outside is *name*."""
    trace = TraceVerdict(
        name=name,
        path=name or "x",
        outcome="fail",
        kernel=name,
        kernel_path=name,
        backends=["xen"],
        events=9,
        switches=4,
        lost_events=1,
        digest="xxh3:0",
        damage=name,
        reasons=[name],
        notes=[name],
    )
    causes = [
        Contribution(kind="step", name=name, note=name),
        Contribution(kind="task", name=name, baseline=1, current=3, difference=2, note=name),
    ]
    check = Check(
        trace=name,
        kernel=name,
        backend="xen",
        metric="hypercalls",
        status="fail",
        current=7,
        baseline=3,
        limit=3,
        rule=name,
        reason=name or "rose",
        explain=causes,
    )
    broken = Finding(
        trace=name,
        kernel=name,
        rule="H1",
        name="raw-queued",
        severity="error",
        op=name,
        backends=["xen"],
        standing="new",
        fails=True,
        baseline=0,
        current=3,
        violation=hostile_report(name).violations[0],
    )
    return Verdict(
        outcome="fail",
        exit_code=1,
        baseline=name,
        config=name,
        traces=[trace],
        checks=[check],
        findings=[broken],
        update_command=name or "pvreplay",
        explain_command=name or "pvreplay",
        notes=[name],
        version="0.1.0",
        model=1,
    )


def hostile_comparison(name: str) -> Comparison:
    """Two sides that differ in everything; labels, ops and notes are *name*."""
    one, other = hostile_report(name), hostile_report(name)
    other.backends[0].hypercalls = 9
    other.backends[0].by_op = {name: Totals(hypercalls=5, count=4)}
    other.violations[0].rule = "H2"
    pairs = [(one, one.backends[0], other, other.backends[0])]
    return compare(name, name, pairs, [name], "0.1.0")
