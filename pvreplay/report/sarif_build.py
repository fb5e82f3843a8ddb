"""Pieces of a SARIF 2.1.0 log, shared by the runs and the gate.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/sarif-v2.1.0-errata01-os-complete.html;
what GitHub asks beyond it: "SARIF support for code scanning" of its documentation.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from pvreplay.replay.result import Severity, Violation
from pvreplay.report import escape
from pvreplay.report.context import Place
from pvreplay.report.escape import sarif
from pvreplay.report.rule_page import rule_markdown

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
RECORD_BYTES = 16
"""Of an event in trace.bin, what a byte offset points to."""
TAGS: Mapping[Severity, list[str]] = {
    "security": ["security", "correctness"],
    "error": ["correctness"],
    "perf": ["performance"],
}
Node = dict[str, Any]


def text(words: str) -> Node:
    """A message of plain text that holds hostile words."""
    return {"text": sarif(words)}


def artifact(file: str) -> Node:
    """A reference to *file*, a path relative to the root of the repository."""
    try:
        raw = os.fsencode(file)
    except UnicodeEncodeError:
        raw = file.encode("utf-8", "surrogatepass")
    return {"uri": quote(raw), "uriBaseId": ROOT}


def location(file: str, place: Place, message: str = "", op: str = "") -> Node:
    """A physical location, without which GitHub refuses a result; *op* is the logical one."""
    region: Node = {"startLine": place.line}
    if place.byte_offset is not None:
        region |= {"byteOffset": place.byte_offset, "byteLength": RECORD_BYTES}
    found: Node = {"physicalLocation": {"artifactLocation": artifact(file), "region": region}}
    if op:
        found["logicalLocations"] = [{"name": escape.terminal(op), "kind": "function"}]
    if message:
        found["message"] = text(message)
    return found


def flow(violation: Violation, file: str, place: Place) -> list[Node]:
    """The drawn steps as a code flow."""
    steps = []
    for step in violation.drawn:
        words = " ".join(part for part in (step.op, step.disposition, step.detail) if part)
        if step.mark:
            words += f"  <-- {violation.message}"
        steps.append(
            {
                "location": location(file, place, f"{step.index}  {words}"),
                "importance": "essential" if step.mark else "important",
            }
        )
    return [{"threadFlows": [{"locations": steps}]}] if steps else []


def fingerprints(value: str) -> dict[str, str]:
    """A result's partial fingerprints: ours, and the one GitHub looks at (hash and number)."""
    return {"pvreplay/v1": value, "primaryLocationLineHash": f"{value}:1"}


def level(severity: Severity) -> str:
    """Of a rule's findings, unless told otherwise."""
    return "warning" if severity == "perf" else "error"


def rules() -> list[Node]:
    """Every rule, with its page as help."""
    from pvreplay.rules import all_rules

    return [
        descriptor(
            rule.code,
            rule.name,
            f"{rule.summary[:1].upper()}{rule.summary[1:]}.",
            rule.advice,
            rule.severity,
            rule.doc,
            rule_markdown(rule.doc),
        )
        for rule in all_rules()
    ]


def descriptor(
    code: str, name: str, short: str, full: str, severity: Severity, doc: str, markdown: str
) -> Node:
    """A rule of the tool; *name* is written in kebab-case here, in one word there."""
    properties: Node = {
        "tags": TAGS[severity],
        "precision": "very-high",
        "problem.severity": level(severity),
    }
    if severity == "security":
        properties["security-severity"] = "7.0"
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": sarif(short)},
        "fullDescription": {"text": sarif(full)},
        "help": {"text": sarif_page(doc), "markdown": markdown},
        "defaultConfiguration": {"level": level(severity)},
        "properties": properties,
    }


def sarif_page(page: str) -> str:
    """Text of many lines, each escaped."""
    return "\n".join(map(sarif, page.splitlines())) + "\n"


def notice(words: str, at: str, rule: int | None = None, code: str = "") -> Node:
    """A notification of the tool; *at* is its level."""
    found: Node = {"level": at, "message": text(words)}
    if rule is not None:
        found["associatedRule"] = {"id": code, "index": rule}
    return found


def run(
    *,
    version: str,
    rules: Sequence[Node],
    results: Iterable[Node],
    files: Iterable[str],
    successful: bool,
    execution: Sequence[Node],
    configuration: Sequence[Node],
    properties: Node,
) -> Node:
    """One run of the tool."""
    return {
        "tool": {
            "driver": {
                "name": "pvreplay",
                "version": version,
                "semanticVersion": version,
                "rules": list(rules),
            }
        },
        "invocations": [
            {
                "executionSuccessful": successful,
                "toolExecutionNotifications": list(execution),
                "toolConfigurationNotifications": list(configuration),
            }
        ],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
        "artifacts": [{"location": artifact(file), "roles": ["analysisTarget"]} for file in files],
        "results": list(results),
        "columnKind": "unicodeCodePoints",
        "properties": properties,
    }


def log(runs: Sequence[Node]) -> str:
    """The whole file."""
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}
    encoded = msgspec.json.format(msgspec.json.encode(document), indent=1)
    return escape.json_bytes(encoded).decode() + "\n"
