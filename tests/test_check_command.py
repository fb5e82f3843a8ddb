"""``pvreplay check``: orders on the command line and in files, as text and JSON."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from pvreplay.replay.order_file import FLAGS, TAKES_VALUE, Settings, parse_line, read_orders
from tests.cli_helpers import pvreplay, two_lines
from tests.test_rules_corpus import BACKENDS, BATCHING, CASES, Case, backends_of

ROOT = Path(__file__).parent.parent
ORDERS = ROOT / "traces" / "orders.txt"
SEED = "begin enter_cpu write_cr3 load_tls loadsegment:fs leave_cpu end"


def checked(*args: str) -> dict[str, Any]:
    """The JSON of a check, whatever its exit code."""
    done = pvreplay("check", *args, "--format", "json")
    assert done.code in (0, 1), done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["schema"] == "pvreplay.check/1"
    return found


def found_on(document: dict[str, Any], backend: str) -> list[tuple[str, int]]:
    """(rule, step) of what fires on *backend*."""
    return [(one["rule"], one["step"]) for one in document["violations"] if backend in one["backends"]]


# --- the corpus ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_bad_order_is_flagged_at_its_op_on_the_backends_it_was_bad_on(case: Case) -> None:
    document = checked(case.bad, *case.options.split())
    assert [cost["name"] for cost in document["backends"]] == list(BACKENDS)
    for backend in backends_of(case):
        assert found_on(document, backend) == [(case.rule, case.step)]
    if case.rule in BATCHING:
        assert found_on(document, "native") == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_corrected_order_is_silent_and_exits_with_0(case: Case) -> None:
    options = [word for backend in backends_of(case) for word in ("--backend", backend)]
    done = pvreplay("check", case.fixed, *case.options.split(), *options)
    assert done.code == 0
    assert "no rule broken" in done.out


def test_the_shipped_orders_are_the_corpus_and_do_what_they_say() -> None:
    lines = {line.name: line for line in read_orders(ORDERS.read_text(), "orders.txt")}
    assert len(lines) == 2 * len(CASES)
    for case in CASES:
        bad, fixed = lines[case.id], lines[f"{case.id}-fixed"]
        assert (bad.tokens, fixed.tokens) == (case.bad.split(), case.fixed.split())
        assert [(one.step, one.rule) for one in bad.expected or []] == [(case.step, case.rule)]
        assert fixed.expected == []
        assert bad.settings.backend == ([] if case.backend == "any" else [case.backend])
        assert " ".join(bad.settings.told()) == case.options
    done = pvreplay("check", "-f", ORDERS)
    assert done.code == 0
    assert done.out.endswith(f"{len(lines)} orders: {len(lines)} as expected\n")


# --- one order ------------------------------------------------------------------------------------


def test_the_issue_s_example_draws_the_violation_and_prices_the_order() -> None:
    done = pvreplay("check", SEED, "--backend", "xen")
    assert done.code == 1
    assert re.search(r"^xen +1 +4 +leave_cpu 1$", done.out, re.M)
    assert "H1 raw-queued  error  xen  at step 4" in done.out
    assert re.search(r"^ +4 +loadsegment:fs .*<-- still queued since step 3$", done.out, re.M)


def test_the_json_of_one_order_holds_the_0_based_step_and_the_price() -> None:
    document = checked(SEED, "--backend", "xen", "--backend", "native")
    assert document["order"] == SEED.split()
    assert (document["kernel"], document["policy"]) == ("2.6.32", "seed2006")
    (one,) = document["violations"]
    assert (one["rule"], one["step"], one["op"], one["backends"]) == ("H1", 4, "loadsegment:fs", ["xen"])
    xen, native = document["backends"]
    assert (xen["hypercalls"], xen["entries"], xen["switches"]) == (1, 4, [1])
    assert xen["by_op"]["leave_lazy_cpu"]["hypercalls"] == 1
    assert [step["disposition"] for step in xen["steps"]][2:6] == ["queued", "queued", "plain", "flush"]
    assert native["hypercalls"] == 0
    assert document["expected"] is document["met"] is document["what_if"] is None
    assert {"H4", "P4", "S1"} <= set(document["not_checked"])


def test_an_order_may_be_given_without_quotes_with_commas_and_with_the_tasks_named() -> None:
    one = checked(*["begin", "make>cc1", "enter_cpu", "load_tls", "leave_cpu", "end"])
    other = checked("begin,enter_cpu,load_tls,leave_cpu,end")
    assert one["order"] == other["order"] == ["begin", "enter_cpu", "load_tls", "leave_cpu", "end"]


@pytest.mark.parametrize(
    "options, rules",
    [
        ("", []),
        ("--want IOPL=0 --hw IOPL=3", ["S1"]),
        ("--want IOPL=0 --hw IOPL=0", []),
        ("--volatile BTF", ["S2"]),
        ("--scrub RSB", ["S3"]),
        ("--volatile BTF --scrub RSB", ["S2", "S3"]),
    ],
)
def test_the_context_decides(options: str, rules: list[str]) -> None:
    document = checked("begin enter_cpu load_tls leave_cpu end user", "-b", "xen", *options.split())
    told = {one["rule"] for one in document["violations"]}
    told |= {rule for one in document["violations"] for rule in one["consequences"]}
    assert sorted(told - {"W4"}) == rules
    assert document["context"] == [" ".join(pair) for pair in zip(*[iter(options.split())] * 2, strict=True)]


def test_a_kernel_chooses_the_rows_and_a_policy_the_contract() -> None:
    on_26 = checked("begin enter_cpu clts leave_cpu end", "-b", "xen", "-k", "2.6.24")
    assert (on_26["backends"][0]["traps"], on_26["backends"][0]["hypercalls"]) == (1, 0)
    nested = "enter_mmu set_pte enter_mmu set_pte leave_mmu set_pte leave_mmu"
    assert [one["rule"] for one in checked(nested, "-b", "xen")["violations"]] == ["P1"]
    assert checked(nested, "-b", "xen", "--policy", "generic2025")["violations"] == []


def test_tls_slots_say_how_many_descriptors_change() -> None:
    order = "begin enter_cpu load_tls leave_cpu end"
    for slots in range(4):
        document = checked(order, "-b", "xen", "-k", "6.1", "--tls-slots", str(slots))
        assert document["backends"][0]["entries"] == slots


def test_performance_findings_exit_with_1_only_when_strict() -> None:
    order = "begin enter_cpu load_tls leave_cpu load_sp0 end"
    assert pvreplay("check", order, "-b", "xen").code == 0
    assert pvreplay("check", order, "-b", "xen", "--strict").code == 1


def test_verbose_draws_every_step_on_every_backend_and_says_why_rules_were_not_checked() -> None:
    done = pvreplay("check", "begin enter_cpu load_tls leave_cpu end", "-b", "xen", "-b", "lguest", "-v")
    assert done.out.count("enter_cpu  mode") == 2
    assert "(the order has no sleep)" in done.out


def test_text_goes_to_a_file_and_stays_within_80_columns(tmp_path: Path) -> None:
    out = tmp_path / "check.txt"
    assert pvreplay("check", SEED, "-o", out, "--inject", "all", "-v").code == 1
    assert max(len(line) for line in out.read_text().splitlines()) <= 80


@pytest.mark.parametrize(
    "args, message",
    [
        ([], "expected an order, or -f FILE"),
        (["begin", "-f", "x"], "expected an order, or -f FILE"),
        (["begin", "frobnicate"], "op 1: 'frobnicate': no op of that name"),
        (["begin", "loadsegment:xs"], "operand 'xs'"),
        (["begin", "--want", "IOPL"], "no value"),
        (["begin", "--live", "XS"], "no such resource"),
        (["begin", "--backend", "zen"], "zen"),
        (["begin", "--policy", "none"], "policy 'none' is not known"),
        (["begin", "--inject", "meteor"], "--inject meteor: no such event"),
        (["-f", "/no/such/file"], "/no/such/file"),
    ],
)
def test_what_cannot_be_checked_is_a_usage_error(args: list[str], message: str) -> None:
    done = pvreplay("check", *args)
    assert done.code == 2 and message in done.err and two_lines(done.err), done.err


# --- files ----------------------------------------------------------------------------------------


def test_a_file_is_also_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"# a comment\n\nA1 [xen] bad 4 H1 : {SEED}   # another\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    done = pvreplay("check", "-f", "-")
    assert (done.code, done.out) == (0, "A1 as expected: H1 at step 4\n")


def test_an_expectation_that_is_not_met_fails_and_says_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    path.write_text(f"A1 [xen, native] bad 4 H1 : {SEED}\n[xen] good : {SEED}\n{SEED} -b xen\n")
    done = pvreplay("check", "-f", path)
    assert done.code == 1
    assert "not as expected: expected H1 at step 4; found" in done.out
    assert re.search(r"^    native nothing$", done.out, re.M)
    assert "3 orders: 2 not as expected 1 that break a rule" in done.out
    document = json.loads(pvreplay("check", "-f", path, "--format", "json").out)
    assert [order["met"] for order in document["orders"]] == [False, False, None]
    assert [order["line"] for order in document["orders"]] == [1, 2, 3]
    assert document["orders"][0]["expected"] == [{"step": 4, "rule": "H1"}]


def test_options_of_a_line_go_before_those_of_the_command_and_add_to_its_context(tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    path.write_text("begin end user --kernel 2.6.21 --want IOPL=0\nbegin end user -b native\n")
    document = json.loads(
        pvreplay("check", "-f", path, "-k", "2.6.24", "-b", "xen", "--hw", "IOPL=3", "--format", "json").out
    )
    first, second = document["orders"]
    assert (first["kernel"], second["kernel"]) == ("2.6.21", "2.6.24")
    assert [cost["name"] for cost in first["backends"] + second["backends"]] == ["xen", "native"]
    assert (first["context"], second["context"]) == (["--want IOPL=0", "--hw IOPL=3"], ["--hw IOPL=3"])
    assert [one["rule"] for one in first["violations"]] == ["S1"]
    assert second["violations"] == []


def test_the_brackets_of_the_corpus_are_understood() -> None:
    line = parse_line(
        "C1  [xen]    bad 5 S1  : begin enter_cpu load_tls leave_cpu end user  (want IOPL=0, hw=3)"
    )
    assert (line.settings.want, line.settings.hw) == (["IOPL=0"], ["IOPL=3"])
    line = parse_line("[vmi,xen] begin end (gs live, BTF volatile, scrub RSB)".replace("] ", "] : "))
    assert line.settings == Settings(backend=["vmi", "xen"], live=["gs"], volatile=["BTF"], scrub=["RSB"])
    line = parse_line("two bad 3 H1, 5 W1 : begin")
    assert [(one.step, one.rule) for one in line.expected or []] == [(3, "H1"), (5, "W1")]


@pytest.mark.parametrize(
    "line, message",
    [
        ("A1 bad H1 : begin", "before the order"),
        ("A1 bad 1 H9 : begin", "no rule 'H9'"),
        ("bad : begin", "before the order"),
        ("begin --sideways 3", "--sideways: no such option"),
        ("begin --want", "--want: no value"),
        ("begin --tls-slots 4", "--tls-slots 4"),
        ("begin (whenever)", "(whenever)"),
        ("begin 'quoted", "quotation"),
        ("beginn", "no op of that name"),
        ("begin -k 9.9", "9.9"),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_number(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    path.write_text(f"# first\n{line}\n")
    done = pvreplay("check", "-f", path)
    assert done.code == 2 and "orders.txt:2: " in done.err and message in done.err, done.err


def test_a_file_without_an_order_or_without_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    path.write_text("# nothing\n")
    assert "no order in it" in pvreplay("check", "-f", path).err
    path.write_bytes(b"\xff\xfe\x00")
    assert "no text" in pvreplay("check", "-f", path).err


def test_every_option_of_a_line_is_one_of_the_command() -> None:
    from pvreplay.cli.check import command

    known = {name for parameter in command.params for name in parameter.opts}
    assert {*TAKES_VALUE, *FLAGS} <= known
    assert set(Settings.__struct_fields__) == {*TAKES_VALUE.values(), *FLAGS.values()}


# --- the page -------------------------------------------------------------------------------------


def test_the_page_names_ops_that_exist_and_shows_what_is_printed() -> None:
    from pvreplay.machine.ops import parse

    page = (ROOT / "docs" / "check.md").read_text()
    table = page[page.index("| ops |") : page.index("An event's operand")]
    ops = re.findall(r"`([^`]+)`", table)
    assert len(ops) > 60
    for op in ops:
        parse(op.replace(":SEG", ":fs").replace(":RES", ":RSB"))
    (command,) = re.findall(r"^    \$ pvreplay (check .*)$", page, re.M)
    shown = page[page.index("    fault: P7 window  native") : page.index("## JSON")].rstrip()
    printed = pvreplay(*shlex.split(command)).out
    assert "\n".join(line[4:] for line in shown.splitlines()) in printed


def test_the_page_lists_every_key_of_the_json() -> None:
    page = (ROOT / "docs" / "check.md").read_text()
    document = checked(SEED, "--inject", "nmi")
    keys = {*document, *document["backends"][0], *document["violations"][0], "event", "units", "steps"}
    for key in keys - {"count", "first", "shape"}:
        assert f"`{key}`" in page, key


def test_a_handler_that_reads_nothing_known_is_refused_with_what_is_known() -> None:
    done = pvreplay("check", "begin write_cr3 fault:vmaloc set_current end")
    assert done.code == 2 and two_lines(done.err)
    assert "op 2" in done.err and "'vmaloc'" in done.err and "vmalloc, gdt, fpu, selector, CR3" in done.err
    assert pvreplay("check", "begin write_cr3 fault:vmalloc+PTE:k set_current end", "-b", "native").code == 1
