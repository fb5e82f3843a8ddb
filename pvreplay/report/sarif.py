"""SARIF 2.1.0, for code scanning and editors: a result a violation; docs/outputs.md."""

from __future__ import annotations

from collections.abc import Iterator

from pvreplay.gate.verdict import METRICS, VIOLATION_METRICS, Verdict
from pvreplay.replay.result import Report, Violation
from pvreplay.report import escape, gate_view, order
from pvreplay.report import sarif_build as build
from pvreplay.report.cases import headline, windows
from pvreplay.report.context import PLAIN, Context, Place
from pvreplay.report.figures import count
from pvreplay.report.fingerprint import Fingerprints
from pvreplay.report.text_findings import where


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as a SARIF log of one run.

    Every result has a physical location: the trace file, its line (or 1 and a byte
    offset in trace.bin) of the event it was seen at first.
    """
    rules = build.rules()
    index = {rule["id"]: place for place, rule in enumerate(rules)}
    prints = Fingerprints()
    results = []
    found = [
        *(
            (one, "error" if context.fails(one.severity) else "warning")
            for one in order.violations(report.violations)
        ),
        *((one, "error" if context.strict else "note") for one in windows(report)),
    ]
    for violation, level in found:
        if violation.rule not in index:  # of a saved report from another version
            index[violation.rule] = len(rules)
            rules.append(_unknown(violation))
        results.append(_result(report, violation, level, context, index[violation.rule], prints))
    execution = [build.notice(note, "note") for note in report.notes]
    if report.lost_events:
        lost = count(report.lost_events, "event")
        execution.append(build.notice(f"{lost} lost: the counts are lower bounds", "warning"))
    if report.damage:
        execution.append(build.notice(f"{report.path}: {report.damage}", "error"))
    return build.log(
        [
            build.run(
                version=report.version,
                rules=rules,
                results=results,
                files=[context.file(report.path)],
                successful=not report.damage or context.lenient,
                execution=execution,
                configuration=[
                    build.notice(f"not checked: {why}", "note", index[rule], rule)
                    for rule, why in sorted(report.not_checked.items())
                    if rule in index
                ],
                properties=_numbers(report),
            )
        ]
    )


def _result(
    report: Report, violation: Violation, level: str, context: Context, rule: int, prints: Fingerprints
) -> build.Node:
    file = context.file(report.path)
    place = context.place(report.path, violation)
    where_told = where(violation.backends, [result.name for result in report.backends])
    words = f"{headline(violation)} ({where_told}, {count(violation.count, 'time')})."
    if violation.first is not None:
        first = violation.first
        words += (
            f" First at event {first.event:,}, cpu {first.cpu}, {first.time_ns / 1e9:.6f} s,"
            f" {first.prev} -> {first.next}."
        )
    result: build.Node = {
        "ruleId": violation.rule,
        "ruleIndex": rule,
        "level": level,
        "message": build.text(f"{words} {violation.advice}"),
        "locations": [build.location(file, place, op=violation.op)],
        "partialFingerprints": build.fingerprints(prints.of(violation, file, report.kernel)),
        "occurrenceCount": max(1, violation.count),
        "properties": {
            "backends": [escape.terminal(name) for name in violation.backends],
            "kernel": escape.terminal(report.kernel),
            "severity": violation.severity,
            "consequences": violation.consequences,
        },
    }
    if flow := build.flow(violation, file, place):
        result["codeFlows"] = flow
    return result


def _unknown(violation: Violation) -> build.Node:
    words = f"{violation.name}: {violation.advice}"
    return build.descriptor(
        violation.rule, violation.name, violation.name, violation.advice, violation.severity, words, words
    )


def _numbers(report: Report) -> build.Node:
    """The counts, for a script: code scanning ignores them."""
    return {
        "kernel": escape.terminal(report.kernel),
        "switches": report.switches,
        "lostEvents": report.lost_events,
        "doubts": {escape.terminal(name): n for name, n in sorted(report.doubts.items()) if n},
        "backends": {
            escape.terminal(result.name): {
                "hypercalls": result.hypercalls,
                "hypercallsPerSwitch": result.hypercalls_per_switch,
                "entries": result.entries,
                "traps": result.traps,
                "romCalls": result.rom_calls,
            }
            for result in report.backends
        },
    }


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as a SARIF log of one run: a result a check over its limit, and a rule broken newly.

    Results point to the kernel's own file where there is one in the repository, and
    to the trace as a related location.
    """
    rules = [*build.rules(), *_gate_rules()]
    index = {rule["id"]: place for place, rule in enumerate(rules)}
    prints = Fingerprints()
    results = []
    files: dict[str, None] = {}
    for group in gate_view.groups(verdict):
        files[context.file(group.trace.path)] = None
        for file, result in _judged(group, context, prints):
            files[file] = None
            rule = result["ruleId"]
            results.append(result | {"ruleIndex": index[rule]} if rule in index else result)
    return build.log(
        [
            build.run(
                version=verdict.version,
                rules=rules,
                results=results,
                files=files,
                successful=verdict.outcome not in ("damaged", "not-comparable"),
                execution=[build.notice(note, "note") for note in verdict.notes],
                configuration=[],
                properties={
                    "outcome": verdict.outcome,
                    "baseline": escape.terminal(verdict.baseline),
                    "updateCommand": escape.terminal(verdict.update_command),
                },
            )
        ]
    )


def _judged(
    group: gate_view.Group, context: Context, prints: Fingerprints
) -> Iterator[tuple[str, build.Node]]:
    """The results of one trace, each with the file it points to."""
    trace = group.trace
    key = (trace.name, trace.kernel)
    at_trace = gate_view.Target(context.file(trace.path), Place())
    if trace.damage and trace.outcome == "damaged":
        words = f"{group.title}: {trace.damage}"
        yield _gate_result("gate/damaged", "error", words, at_trace, prints.next(*key, "damaged"))
    if trace.outcome == "not-comparable":
        words = f"{group.title}: {'; '.join(trace.reasons)}"
        target = gate_view.target(group, (), context)
        yield _gate_result("gate/not-comparable", "error", words, target, prints.next(*key, "comparable"))
    for check in group.checks:
        if check.status == "fail":
            words = " ".join([f"{group.title}, {check.backend}:", *gate_view.check_lines(check)])
            target = gate_view.check_target(group, check, context)
            print_ = prints.next(*key, check.backend, check.metric)
            yield _gate_result(f"gate/{check.metric}", "error", words, target, print_, at_trace)
    for one in group.findings:
        if gate_view.told(one):
            words = f"{group.title}: {one.op}, {gate_view.finding_line(one)}."
            place = Place()
            if one.violation is not None:
                words += f" {one.violation.message}. {one.violation.advice}"
                place = context.place(trace.path, one.violation)
            at_trace = gate_view.Target(context.file(trace.path), place)
            target = gate_view.finding_target(group, one, context)
            print_ = prints.next(*key, one.rule, one.op, *one.backends)
            level = "error" if one.fails else "warning"
            file, result = _gate_result(one.rule, level, words, target, print_, at_trace)
            if one.violation and (flow := build.flow(one.violation, at_trace.file, place)):
                result["codeFlows"] = flow
            yield file, result


def _gate_result(
    rule: str,
    level: str,
    words: str,
    target: gate_view.Target,
    print_: str,
    trace: gate_view.Target | None = None,
) -> tuple[str, build.Node]:
    result: build.Node = {
        "ruleId": rule,
        "level": level,
        "message": build.text(words),
        "locations": [build.location(target.file, target.place)],
        "partialFingerprints": build.fingerprints(print_),
    }
    if trace is not None and trace.file != target.file:
        result["relatedLocations"] = [build.location(trace.file, trace.place, "the trace")]
    return target.file, result


def _gate_rules() -> Iterator[build.Node]:
    """What a gate finds beside broken rules."""
    pages = {
        metric: (
            f"{metric.replace('_', ' ')} over the limit",
            "The trace costs more than the baseline or the budget allows.",
            "A replay is exact: the same trace on the same switch path costs the same. What rose"
            " was changed in the kernel's file, in a backend's file, or in the trace.",
        )
        for metric in (*METRICS, *VIOLATION_METRICS)
    } | {
        "not-comparable": (
            "Not comparable with the baseline",
            "The run and the baseline do not measure the same thing.",
            "Lost events, another trace, kernel or model: the numbers say nothing about a change.",
        ),
        "damaged": (
            "Damaged trace",
            "The trace is not whole.",
            "What could be read was replayed; --lenient accepts it.",
        ),
    }
    for code, (short, full, page) in pages.items():
        name = code.replace("_", "-").replace(".", "-")
        yield build.descriptor(
            f"gate/{code}",
            f"gate-{name}",
            f"{short[0].upper()}{short[1:]}.",
            full,
            "error",
            page,
            f"{page}\n",
        )
