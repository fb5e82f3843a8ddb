"""The shipped recordings agree with the model, and a model that is wrong is found out by them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pvreplay.backends.reader import load_backend
from pvreplay.cli.main import group
from pvreplay.kernels.reader import load_kernel
from pvreplay.validate.compare import validate
from pvreplay.validate.items import Recording
from pvreplay.validate.known import REASONS
from pvreplay.validate.predict import Prediction
from pvreplay.validate.result import Result
from pvreplay.validate.signs import Survey

ROOT = Path(__file__).parent.parent
TRACES = ROOT / "traces"
XEN = ("guest-xen-iopl.function.txt", "guest-xen-threads.trace.txt", "guest-xen-tls.function.txt")
NATIVE = ("guest-n64-state.function.txt", "guest-n32-state.function.txt", "guest-n32-fpthreads.trace.txt")
KERNEL = load_kernel("6.1")
LINE = re.compile(rb"^.*?\[\d+\] .{5} +[0-9.]+: (.*)$")
PATH_CALLERS = (
    b"__schedule|__switch_to|__switch_to_xtra|switch_mm_irqs_off|load_new_mm_cr3|switch_ldt|load_mm_ldt|"
    b"xen_load_tls|xen_end_context_switch|__rdgsbase_inactive|__wrgsbase_inactive|xen_mc_issue|__text_poke"
)
EVIDENCE = re.compile(
    rb"(xen_mc_\w+|xen_mmu_write_cr3|xen_cpu_\w+|x86_fpu_\w+): |tlb_flush: .*\([^4]\)|"
    rb"\w+ <-(" + PATH_CALLERS + rb")(\.\w+)*$"
)


def checked(path: Path, kernel: object = None) -> Result:
    recording = Recording(str(path))
    survey = Survey(recording.items())
    used = kernel or KERNEL
    return validate(recording, survey, used, load_backend("xen" if survey.xen else "native", used))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", XEN + NATIVE)
def test_every_decided_switch_agrees_and_few_are_undecided(name: str) -> None:
    result = checked(TRACES / name)
    switches = result.switches
    assert switches.different == 0
    assert switches.equal == switches.compared > 50
    # the first switches of a cut recording are those that hang on what was before it
    assert switches.undecided <= max(2, 0.025 * switches.compared)
    assert all(decision.differ == 0 for decision in result.decisions.values())
    assert set(result.reasons) <= set(REASONS)


def test_the_recordings_show_every_decision_both_ways() -> None:
    found: dict[str, list[int]] = {}
    for name in XEN + NATIVE:
        for decision, numbers in checked(TRACES / name).decisions.items():
            both = found.setdefault(decision, [0, 0])
            both[0] += numbers.seen
            both[1] += numbers.agree - numbers.seen
    for decision in ("mm", "fpu_save", "xtra", "next_kernel", "gs", "invalidate_io_bitmap"):
        assert min(found[decision]) > 0, decision


def test_flushes_are_compared_in_entries_bytes_and_callbacks() -> None:
    result = checked(TRACES / "guest-xen-iopl.function.txt")
    assert result.flushes["end_of_switch"].seen.keys() == {"0, 0, 0", "1, 48, 1"}
    assert result.flushes["end_of_switch"].predicted == result.flushes["end_of_switch"].seen
    assert result.predicted == result.seen
    assert result.seen.hypercalls == result.seen.entries > 50
    assert result.by_op["write_msr:gs_base"]["seen"] == result.switches.equal


@pytest.mark.parametrize("name", XEN + NATIVE)
def test_without_the_evidence_the_prediction_is_the_same(name: str, tmp_path: Path) -> None:
    lines = (TRACES / name).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not (m := LINE.match(line.rstrip())) or not EVIDENCE.match(m[1])]
    assert len(kept) < 0.75 * len(lines)
    bare = tmp_path / "bare.txt"
    bare.write_bytes(b"".join(kept))
    full = list(Prediction(Recording(str(TRACES / name)), KERNEL))
    assert list(Prediction(Recording(str(bare)), KERNEL)) == full
    assert len(full) > 50


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("guest-xen-iopl.function.txt", 'when = "prev_fpu"', 'when = "prev_kernel"'),
        ("guest-xen-iopl.function.txt", 'ops = ["load_tls"]', 'ops = ["load_tls", "write_cr3"]'),
        ("guest-xen-iopl.function.txt", 'when = "mm_differs or lazy_tlb_reload"', 'when = "not next_kernel"'),
        (
            "guest-xen-iopl.function.txt",
            'ops = ["savesegment:fs", "savesegment:gs"]',
            'ops = ["load_sp0", "savesegment:fs", "savesegment:gs"]',
        ),
        ("guest-xen-tls.function.txt", 'when = "prev_gs or next_gs"', 'when = "prev_gs"'),
        ("guest-xen-iopl.function.txt", "prev_io_bitmap or (next_iopl", "prev_io_bitmap or (not next_iopl"),
        ("guest-n64-state.function.txt", 'when = "prev_fpu"', 'when = "next_kernel"'),
        (
            "guest-n32-state.function.txt",
            "prev_io_bitmap or (next_iopl",
            "not prev_kernel or (next_iopl",
        ),
    ],
)
def test_a_wrong_model_is_found_out(name: str, old: str, new: str, tmp_path: Path) -> None:
    text = (ROOT / "pvreplay/kernels/6.1.toml").read_text()
    assert old in text
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace(old, new).replace('name = "6.1"', 'name = "wrong"'))
    result = checked(TRACES / name, load_kernel(str(wrong)))
    assert result.switches.different > 0 and result.failed
    worst = next(each for each in result.classes if each.verdict == "different")
    assert worst.example is not None
    assert worst.example.predicted != worst.example.seen
    assert worst.example.lines[0].startswith("sched_switch: ")


def test_the_command_tells_a_difference_by_its_exit_code(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    text = (ROOT / "pvreplay/kernels/6.1.toml").read_text()
    wrong.write_text(text.replace('when = "mm_differs or lazy_tlb_reload"', 'when = "not next_kernel"'))
    path = str(TRACES / "guest-xen-iopl.function.txt")
    good = CliRunner().invoke(group, ["validate", path], standalone_mode=False)
    assert good.return_value == 0 and "(100.0 %)" in good.output
    bad = CliRunner().invoke(group, ["validate", path, "--kernel", str(wrong)], standalone_mode=False)
    assert bad.return_value == 1
    assert "different: " in bad.output and "| sched_switch: " in bad.output


def test_the_json_has_the_documented_keys() -> None:
    done = CliRunner().invoke(
        group,
        ["validate", str(TRACES / "guest-xen-iopl.function.txt"), "--format", "json"],
        standalone_mode=False,
    )
    document = json.loads(done.output)
    assert document["schema"] == "pvreplay.validate/1"
    text = (ROOT / "docs/validate.md").read_text().split("## `--format json`")[1]
    for heading, example in {
        "### Top level": document,
        "### `switches`": document["switches"],
        "### `decisions`": document["decisions"]["mm"],
        "### `reasons`": next(iter(document["reasons"].values())),
        "### `classes[]`": document["classes"][0],
    }.items():
        table = text.split(heading)[1].split("\n### ")[0]
        rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        assert [key for row in rows for key in re.findall(r"`(\w+)`", row)] == list(example), heading


def test_the_page_has_the_agreement_that_is_found() -> None:
    page = (ROOT / "docs/validate.md").read_text()
    for name in XEN + NATIVE:
        switches = checked(TRACES / name).switches
        row = re.search(rf"^\| {re.escape(name)} \| \w+ \| (\d+) of (\d+) \| (\d+) \|", page, re.MULTILINE)
        assert row, name
        assert [int(n) for n in row.groups()] == [switches.equal, switches.compared, switches.undecided]
    assert all(f"| `{reason}` | {text} |" in page for reason, text in REASONS.items())
