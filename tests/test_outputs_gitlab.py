"""GitLab's code quality report: the fields GitLab reads, unique fingerprints, plain relative paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from pvreplay.report import gitlab
from pvreplay.report.context import Context, Place, Spot
from pvreplay.report.escape import terminal
from tests.output_samples import COMMS, hostile_report, hostile_verdict, names
from tests.report_samples import report, violation

SEVERITIES = ("info", "minor", "major", "critical", "blocker")


def findings(text: str) -> list[dict[str, Any]]:
    """The findings; each has what GitLab drops a finding for the lack of."""
    found = json.loads(text)
    for one in found:
        assert set(one) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert one["severity"] in SEVERITIES
        path = one["location"]["path"]
        assert path and not path.startswith(("/", "./")) and ".." not in path.split("/")
        assert one["location"]["lines"]["begin"] >= 1
        assert "\0" not in json.dumps(one, ensure_ascii=False)
    prints = [one["fingerprint"] for one in found]
    assert len(set(prints)) == len(prints)
    return list(found)


def test_a_clean_run_is_an_empty_list() -> None:
    assert findings(gitlab.render(report())) == []


def test_a_violation_has_its_severity_place_and_advice() -> None:
    context = Context(places={Spot("pingpong.bin", 311, 4): Place(17)})
    (one,) = findings(gitlab.render(report(violations=[violation()]), context))
    assert (one["check_name"], one["severity"]) == ("H1 raw-queued", "critical")
    assert one["location"] == {"path": "pingpong.bin", "lines": {"begin": 17}}
    assert one["description"] == (
        "loadsegment:gs: reads GDT.TLS, still queued since step 3 (vmi, xen, 182,044 times, kernel 2.6.21)."
        " Leave lazy CPU mode before loading a selector whose descriptor is queued."
    )


def test_a_fingerprint_survives_other_numbers_and_tells_repeats_apart() -> None:
    first = findings(gitlab.render(report(violations=[violation(), violation(count=3)])))
    second = findings(gitlab.render(report(violations=[violation(count=9, step=2)])))
    assert first[0]["fingerprint"] == second[0]["fingerprint"] != first[1]["fingerprint"]


def test_severities_and_strict() -> None:
    found = report(
        violations=[
            violation(rule="S1", severity="security"),
            violation(rule="W4", severity="perf"),
        ],
        lost_events=2,
    )

    def told(context: Context) -> dict[str, str]:
        return {one["check_name"][:2]: one["severity"] for one in findings(gitlab.render(found, context))}

    assert told(Context()) == {"lo": "info", "S1": "blocker", "W4": "minor"}
    assert told(Context(strict=True))["W4"] == "major"


def test_a_gate_tells_checks_over_their_limit_and_rules_newly_broken() -> None:
    found = findings(gitlab.render_gate(hostile_verdict("t")))
    assert [(one["check_name"], one["severity"]) for one in found] == [
        ("damaged trace", "minor"),
        ("xen: hypercalls", "critical"),
        ("H1 raw-queued", "critical"),
    ]


@pytest.mark.parametrize("path", ["/elsewhere/t.bin", "../t.bin", "-", "./t.bin", "a/../t.bin"])
def test_a_path_is_always_a_file_below_the_repository(path: str) -> None:
    context = Context(base="/repo", cwd="/repo")
    (one,) = findings(gitlab.render(report(path=path, violations=[violation()]), context))
    assert one["location"]["path"] == ("stdin" if path == "-" else "t.bin")


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_are_text(name: str) -> None:
    found = findings(gitlab.render(hostile_report(name)))
    assert [one["check_name"] for one in found] == [
        "damaged trace",
        "lost events",
        "H1 raw-queued",
        "P7 window",
    ]
    assert found[2]["description"].startswith(terminal(f"{name}: {name}"))


@settings(max_examples=100, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    assert len(findings(gitlab.render(hostile_report(name)))) == 4
    findings(gitlab.render_gate(hostile_verdict(name)))
