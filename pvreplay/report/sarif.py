"""SARIF 2.1.0, for code scanning and editors: a result a violation; docs/outputs.md."""

from __future__ import annotations

from pvreplay.replay.result import Report, Violation
from pvreplay.report import escape, order
from pvreplay.report import sarif_build as build
from pvreplay.report.cases import headline
from pvreplay.report.context import PLAIN, Context
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
    for violation in order.violations(report.violations):
        if violation.rule not in index:  # of a saved report from another version
            index[violation.rule] = len(rules)
            rules.append(_unknown(violation))
        results.append(_result(report, violation, context, index[violation.rule], prints))
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
    report: Report, violation: Violation, context: Context, rule: int, prints: Fingerprints
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
        "level": "error" if context.fails(violation.severity) else "warning",
        "message": build.text(f"{words} {violation.advice}"),
        "locations": [build.location(file, place, op=violation.op)],
        "partialFingerprints": build.fingerprints(prints.of(violation, file, report.kernel)),
        "occurrenceCount": max(1, violation.count),
        "properties": {
            "backends": violation.backends,
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
        "doubts": {name: n for name, n in sorted(report.doubts.items()) if n},
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
