"""The gate's text and JSON: goldens at 80 columns, hostile names, and a page that tells every key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from pvreplay.cli.gate import command
from pvreplay.gate.baseline import Baseline
from pvreplay.gate.budget import Budgets, parse_budget
from pvreplay.gate.config import KEYS
from pvreplay.gate.entry import Broken, Entry, PathStep, spelled
from pvreplay.gate.judge import Terms, judge, verdict_of
from pvreplay.gate.update import accept
from pvreplay.gate.verdict import Check, Contribution, Finding, TraceVerdict, Verdict, failed, improved
from pvreplay.replay.result import Totals
from pvreplay.report import gate_json, gate_text
from tests.gate_tools import backend, entry, measured
from tests.golden_verdicts import same_as_golden
from tests.report_samples import HOSTILE, report, violation

PAGE = Path(__file__).parent.parent / "docs" / "gate.md"


def path(*names: str) -> list[PathStep]:
    return [PathStep(step=name, ops=name, when="tls" if name == "load_tls" else "") for name in names]


def before() -> Entry:
    """Two backends; the batch holds the TLS slots."""
    task = {
        spelled(HOSTILE): Totals(hypercalls=60, entries=180, count=60),
        "make-1": Totals(hypercalls=40, entries=120, count=40),
    }
    return entry(
        path=path("enter_lazy_cpu", "load_tls", "leave_lazy_cpu", "set_current"),
        backend={
            "xen": backend(task=task),
            "vmi": backend(rom_calls=400, op={"load_tls": Totals(rom_calls=400, count=100)}),
        },
    )


def after() -> Entry:
    """The TLS slots after the batch: xen crosses twice, and vmi calls its ROM less."""
    ops = {
        "leave_lazy_cpu": Totals(hypercalls=100, count=100),
        "load_tls": Totals(hypercalls=100, entries=300, count=100),
    }
    task = {
        spelled(HOSTILE): Totals(hypercalls=120, entries=180, count=60),
        "make-1": Totals(hypercalls=80, entries=120, count=40),
    }
    shape = {"mm_differs": Totals(hypercalls=200, entries=300, count=100)}
    broken = {"H1 loadsegment:gs": Broken(severity="error", name="raw-queued", count=182044)}
    return entry(
        path=path("enter_lazy_cpu", "leave_lazy_cpu", "load_tls", "set_current"),
        backend={
            "xen": backend(hypercalls=200, op=ops, shape=shape, task=task, violation=broken),
            "vmi": backend(rom_calls=300, op={"load_tls": Totals(rom_calls=300, count=100)}),
        },
    )


def verdict(then: Entry | None, now: Entry, *, updated: bool = False, **terms: Any) -> Verdict:
    """The verdict on *now* against *then*."""
    held = Baseline(trace={"trace.bin": {"2.6.21": then}}) if then is not None else None
    settings = Terms(baseline=held, baseline_path="pvreplay-baseline.toml", **terms)
    run = measured(
        now,
        report=report(
            switches=100, events=200, violations=[violation(backends=["xen"])], path="traces/trace.bin"
        ),
    )
    if not now.backend["xen"].violation:
        run.report.violations = []
    found = verdict_of(
        judge([run], settings),
        settings,
        config="pyproject.toml" if settings.budgets.table else "",
        update_command="pvreplay gate traces/trace.bin --kernel 'my kernels/patched.toml' "
        "--backend xen --backend vmi --update",
        explain_command="pvreplay gate traces/trace.bin --explain",
        version="0.1.0",
        model=1,
    )
    if updated:
        accept(found, settings, ["a note"])
    return found


BUDGETS = Budgets(
    {("xen", "hypercalls_per_switch"): parse_budget(1.5, "pyproject.toml: tool.pvreplay.gate.budget.xen")}
)
VERDICTS = {
    "fail": lambda: verdict(before(), after()),
    "explained": lambda: verdict(before(), after(), explain=True),
    "improved": lambda: verdict(after(), before()),
    "pass": lambda: verdict(before(), before()),
    "no-baseline": lambda: verdict(None, before()),
    "other-trace": lambda: verdict(before(), msgspec.structs.replace(after(), digest="xxh3:1")),
    "budgets": lambda: verdict(None, after(), budgets=BUDGETS),
    "updated": lambda: verdict(before(), after(), updated=True),
}


@pytest.mark.parametrize("name", list(VERDICTS))
def test_a_verdict_reads_as_its_golden(name: str) -> None:
    same_as_golden(f"gate-{name}.txt", gate_text.render_gate(VERDICTS[name]()))


@pytest.mark.parametrize("name", list(VERDICTS))
@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_verdict_fits_80_columns_and_holds_no_raw_control_character(
    name: str, verbose: int, ascii_only: bool
) -> None:
    text = gate_text.render_gate(VERDICTS[name](), verbose=verbose, ascii=ascii_only)
    assert max(map(len, text.splitlines())) <= 80
    assert all(char == "\n" or char.isprintable() for char in text)
    assert not ascii_only or text.isascii()


def test_colour_changes_nothing_but_colour() -> None:
    plain = gate_text.render_gate(VERDICTS["explained"]())
    colored = gate_text.render_gate(VERDICTS["explained"](), color=True)
    assert (
        colored != plain
        and [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines()]
        == plain.splitlines()
    )


def test_top_limits_an_explanation_and_verbose_lifts_the_limit() -> None:
    found = VERDICTS["explained"]()
    assert "1 more task" in gate_text.render_gate(found, top=1)
    assert "more task" not in gate_text.render_gate(found, top=1, verbose=1)


def test_failures_and_improvements_come_the_largest_first() -> None:
    found = VERDICTS["fail"]()
    assert [(check.backend, check.metric) for check in failed(found)] == [
        ("xen", "violations.error"),
        ("xen", "hypercalls"),
    ]
    assert [(check.backend, check.metric) for check in improved(found)] == [("vmi", "rom_calls")]


def test_json_is_the_verdict_and_printable_whatever_a_task_is_called() -> None:
    found = VERDICTS["explained"]()
    encoded = gate_json.render_gate(found)
    assert all(char == "\n" or char.isprintable() for char in encoded.decode())
    again = msgspec.json.decode(encoded, type=Verdict)
    assert again.schema == "pvreplay.gate/1" and msgspec.to_builtins(again) == msgspec.to_builtins(found)
    assert json.loads(encoded)["findings"][0]["violation"]["drawn"]


# --- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("struct", [Verdict, TraceVerdict, Check, Finding, Contribution])
def test_every_key_of_the_json_form_is_on_the_page(struct: type[msgspec.Struct]) -> None:
    text = PAGE.read_text().partition("## The JSON form")[2]
    missing = [key for key in struct.__struct_fields__ if f"`{key}`" not in text]
    assert not missing


def test_every_key_of_the_files_and_every_option_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert not [
        key
        for key in Entry.__struct_fields__
        if f"`{key}`" not in text and f"`{key}." not in text and key != "backend"
    ]
    assert not [key for key in KEYS if key not in text]
    own = {"baseline", "update", "max_increase", "config", "explain", "lenient"}
    own |= {name for name in (p.name or "" for p in command.params) if name.startswith("allow")}
    options = [p.opts[-1] for p in command.params if isinstance(p, click.Option) and p.name in own]
    assert len(options) == len(own) and not [option for option in options if option not in text]
