"""``pvreplay gate`` in a repository: a baseline, a changed kernel, every exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvreplay.gate.model import MODEL
from tests.cli_helpers import pvreplay
from tests.gate_tools import EARLY, KERNEL, MOVED, Repository, checks, trace_text


@pytest.fixture
def repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Repository:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return Repository(tmp_path, capsys)


def test_the_gate_passes_before_a_change_fails_after_it_and_passes_after_update(
    repository: Repository,
) -> None:
    assert repository.gate("--update").code == 0
    assert repository.gate().code == 0
    repository.write("my.toml", MOVED)
    failed = repository.verdict("--explain")
    assert failed["outcome"] == "fail" and failed["exit_code"] == 1
    assert ("vmi", "hypercalls") in checks(failed, "fail")
    (check,) = [c for c in failed["checks"] if (c["backend"], c["metric"]) == ("vmi", "hypercalls")]
    assert (check["baseline"], check["current"], check["limit"]) == (23, 46, 23)
    assert check["reason"].endswith("23 allowed; mostly set_iopl_mask")
    first = check["explain"][0]
    assert (first["kind"], first["name"], first["difference"]) == ("op", "set_iopl_mask", 23)
    assert "queued -> hypercall" in first["note"]
    assert "step set_iopl (when iopl_differs)" in first["note"]
    assert "moved: now after leave_lazy_cpu, was after load_tls; no longer in the batch" in first["note"]
    assert repository.gate("--update").code == 0
    assert repository.gate().code == 0


def test_a_batch_that_ends_early_names_what_moved_and_what_fell_out_of_it(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("my.toml", EARLY)
    verdict = repository.verdict("--explain")
    (check,) = [c for c in verdict["checks"] if (c["backend"], c["metric"]) == ("xen", "hypercalls")]
    assert check["status"] == "fail"
    notes = {cause["name"]: cause["note"] for cause in check["explain"] if cause["kind"] == "step"}
    assert notes["leave_lazy_cpu"].startswith("moved: now after load_esp0, was after disable_tsc")
    assert notes["set_iopl"] == "no longer in the batch: leave_lazy_cpu moved"
    ops = [cause for cause in check["explain"] if cause["kind"] == "op"]
    assert sum(cause["difference"] for cause in ops) == check["current"] - check["baseline"]
    assert {cause["name"] for cause in ops} >= {"load_tls"}


def test_every_kind_of_contribution_adds_up_to_the_change(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("my.toml", MOVED)
    for check in repository.verdict("--explain")["checks"]:
        if check["status"] != "fail" or check["metric"].startswith("violations"):
            continue
        change = check["current"] - check["baseline"]
        by_kind: dict[str, float] = {}
        for cause in check["explain"]:
            by_kind[cause["kind"]] = by_kind.get(cause["kind"], 0) + cause["difference"]
        assert by_kind["op"] == by_kind["task"] == by_kind["shape"] + by_kind.get("outside", 0) == change


def test_an_improvement_passes_and_tells_the_command_that_locks_it_in(repository: Repository) -> None:
    repository.write("my.toml", MOVED)
    repository.gate("--update")
    repository.write("my.toml", KERNEL)
    done = repository.gate()
    assert done.code == 0 and "better" in done.out
    told = done.out.splitlines()[done.out.splitlines().index("to lock the improvement in:") + 1]
    assert told.strip() == "pvreplay gate trace.txt --kernel my.toml --update"
    assert repository.run(*told.split()[1:]).code == 0
    repository.write("my.toml", MOVED)
    assert repository.gate().code == 1


def test_a_kernel_file_is_judged_against_the_kernel_it_extends(repository: Repository) -> None:
    repository.gate("--update", "--iopl", "posted", kernel="2.6.21")
    repository.write(
        "patched.toml",
        'extends = "my.toml"\nname = "patched"\n' + MOVED.partition("\n")[2].partition("\n")[2],
    )
    verdict = repository.verdict("--iopl", "posted", kernel="patched.toml")
    assert verdict["exit_code"] == 1 and ("vmi", "hypercalls") in checks(verdict, "fail")
    assert "kernel patched is compared with the baseline's 2.6.21" in verdict["traces"][0]["notes"]


# --- what is not said is the baseline's ----------------------------------------------------------


def test_kernel_backends_and_settings_come_from_the_baseline(repository: Repository) -> None:
    repository.gate("--update", "--backend", "xen", "--backend", "native", "--policy", "x86-2009")
    verdict = repository.verdict(kernel=None)
    assert verdict["exit_code"] == 0
    assert verdict["traces"][0]["kernel"] == "my" and verdict["traces"][0]["backends"] == ["native", "xen"]


def test_another_setting_than_the_baselines_is_not_comparable(repository: Repository) -> None:
    repository.gate("--update", "--policy", "x86-2009")
    verdict = repository.verdict("--policy", "generic2025")
    assert verdict["exit_code"] == 4
    assert "setting policy is generic2025 now, x86-2009 in the baseline" in verdict["traces"][0]["reasons"][0]


def test_the_baseline_works_from_another_folder(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write("ci/here", "")
    repository.gate("--update")
    monkeypatch.chdir(repository.folder / "ci")
    done = repository.run("gate", "../trace.txt", "--baseline", "../pvreplay-baseline.toml")
    assert done.code == 0 and "on kernel my" in done.out


def test_a_backend_file_of_ones_own_is_what_is_tested(repository: Repository) -> None:
    mine = repository.write("mine.toml", 'name = "mine"\nextends = "xen"\n')
    assert repository.gate("--update", "--backend", "mine.toml").code == 0
    assert repository.gate(kernel=None).code == 0
    mine.write_text(mine.read_text() + '[[op]]\nname = "load_tls"\ndoes = "hypercall"\n')
    verdict = repository.verdict(kernel=None)
    assert verdict["exit_code"] == 1 and ("mine", "hypercalls") in checks(verdict, "fail")


def test_a_trace_on_several_kernels_is_checked_on_all_of_them(repository: Repository) -> None:
    repository.gate("--update")
    repository.gate("--update", kernel="2.6.24")
    assert [trace["kernel"] for trace in repository.verdict(kernel=None)["traces"]] == ["2.6.24", "my"]
    repository.write("my.toml", MOVED)
    verdict = repository.verdict(kernel=None)
    assert [trace["outcome"] for trace in verdict["traces"]] == ["pass", "fail"]
    assert repository.gate(kernel="2.6.24").code == 0


def test_several_traces_share_a_baseline_and_one_can_be_updated_alone(repository: Repository) -> None:
    repository.write("other.txt", trace_text(29))
    repository.gate("other.txt", "--update")
    before = repository.read()
    assert '[trace."other.txt"."my"]' in before and '[trace."trace.txt"."my"]' in before
    repository.write("my.toml", MOVED)
    repository.gate("--update")
    after = repository.read()
    assert before.partition('[trace."trace.txt"')[0] == after.partition('[trace."trace.txt"')[0]
    assert before != after
    assert repository.gate(trace="other.txt").code == 1


def test_a_renamed_copy_in_another_form_is_the_same_trace(repository: Repository) -> None:
    repository.gate("--update")
    assert repository.run("convert", "trace.txt", "copy.bin").code == 0
    verdict = repository.verdict(trace="copy.bin")
    assert verdict["exit_code"] == 0 and verdict["traces"][0]["name"] == "trace.txt"


# --- exit code 4 ---------------------------------------------------------------------------------


def test_without_a_baseline_it_says_how_to_make_one(repository: Repository) -> None:
    done = repository.gate()
    assert done.code == 4
    assert "there is no baseline pvreplay-baseline.toml" in done.out
    assert "pvreplay gate trace.txt --kernel my.toml --update" in done.out
    assert not (repository.folder / "pvreplay-baseline.toml").exists()


def test_a_trace_the_baseline_does_not_know_is_not_comparable(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("new.txt", trace_text(29))
    verdict = repository.verdict(trace="new.txt")
    assert verdict["exit_code"] == 4 and verdict["traces"][0]["reasons"] == [
        "the baseline has no trace new.txt"
    ]


def test_another_trace_of_the_same_name_is_compared_per_switch_if_told_so(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("trace.txt", trace_text(2 * 23))
    verdict = repository.verdict()
    assert (
        verdict["exit_code"] == 4
        and "another trace: 46 and 23 switches" in verdict["traces"][0]["reasons"][0]
    )
    allowed = repository.verdict("--allow-trace-change")
    assert allowed["exit_code"] == 0
    assert {check["metric"] for check in allowed["checks"]} == {
        "hypercalls_per_switch",
        "entries_per_switch",
        "traps_per_switch",
        "rom_calls_per_switch",
    }
    repository.write("my.toml", MOVED)
    worse = repository.verdict("--allow-trace-change", "--explain")
    (check,) = [c for c in worse["checks"] if (c["backend"], c["metric"]) == ("vmi", "hypercalls_per_switch")]
    assert (check["baseline"], check["current"], check["status"]) == (1, 2, "fail")
    assert check["explain"][0]["name"] == "set_iopl_mask" and check["explain"][0]["difference"] == 1


def test_lost_events_are_not_comparable_and_no_baseline_unless_told_otherwise(repository: Repository) -> None:
    repository.write("trace.txt", trace_text(extra="0.1 0 lost 12\n"))
    refused = repository.gate("--update")
    assert refused.code == 4 and "12 events were lost" in refused.err
    assert not (repository.folder / "pvreplay-baseline.toml").exists()
    assert repository.gate("--update", "--allow-lost").code == 0
    assert repository.gate().code == 4
    accepted = repository.verdict("--allow-lost")
    assert accepted["exit_code"] == 0 and "accepted by --allow-lost" in accepted["traces"][0]["notes"][0]
    assert "--allow-lost" in repository.verdict()["update_command"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f"model = {MODEL}\n", "model = 999\n", f"the model is number {MODEL} now, 999 in the baseline"),
        ('rules = "', 'rules = "0', "there are other rules now"),
        ('kernel_base = "2.6.21 ', 'kernel_base = "2.6.21 0', "built-in kernel 2.6.21 is not what it was"),
        ('backend.xen.model = "', 'backend.xen.model = "0', "backend xen is not what it was"),
    ],
)
def test_another_model_is_not_comparable_unless_told_otherwise(
    repository: Repository, old: str, new: str, reason: str
) -> None:
    repository.gate("--update")
    text = repository.read()
    assert old in text
    repository.write("pvreplay-baseline.toml", text.replace(old, new))
    verdict = repository.verdict()
    assert verdict["exit_code"] == 4 and reason in verdict["traces"][0]["reasons"][0]
    done = repository.gate()
    assert done.code == 4 and "NOT COMPARABLE" in done.out and "pass trace.txt" not in done.out
    assert repository.gate("--allow-model-change").code == 0


def test_another_kernel_is_not_comparable_unless_told_otherwise(repository: Repository) -> None:
    repository.gate("--update")
    verdict = repository.verdict(kernel="2.6.24")
    assert verdict["exit_code"] == 4
    assert "another kernel: 2.6.24 now, my in the baseline" in verdict["traces"][0]["reasons"][0]
    assert repository.gate("--allow-kernel-change", kernel="2.6.24").code in (0, 1)


def test_a_backend_the_baseline_lacks_is_not_comparable(repository: Repository) -> None:
    repository.gate("--update", "--backend", "xen")
    verdict = repository.verdict("--backend", "xen", "--backend", "vmi")
    assert verdict["exit_code"] == 4 and verdict["traces"][0]["reasons"] == [
        "the baseline has no backend vmi"
    ]
    assert ("xen", "hypercalls") in checks(verdict, "pass")
    repository.gate("--update", "--backend", "vmi")
    assert "backend.xen.hypercalls" in repository.read()
    assert repository.verdict(kernel=None)["traces"][0]["backends"] == ["vmi", "xen"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("schema = 'other/9'\n", "--update"),
        ("this is no toml", "version control"),
        ("<<<<<<< mine\n=======\n>>>>>>> theirs\n", "merge conflict"),
        ('schema = "pvreplay.baseline/1"\n[trace.a.b]\ndigest = 3\n', "version control"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_exit_4_and_survives(
    repository: Repository, text: str, hint: str
) -> None:
    repository.write("pvreplay-baseline.toml", text)
    for args in ((), ("--update",)):
        done = repository.gate(*args)
        assert done.code == 4 and "pvreplay-baseline.toml" in done.err and hint in done.err
        assert done.err.count("\n") <= 2 and repository.read() == text


# --- exit codes 2 and 3 --------------------------------------------------------------------------


def test_a_damaged_trace_is_exit_3_reports_what_it_holds_and_makes_no_baseline(
    repository: Repository,
) -> None:
    repository.run("convert", "trace.txt", "trace.bin")
    path = repository.folder / "trace.bin"
    path.write_bytes(path.read_bytes()[:-7])
    done = repository.gate(trace="trace.bin")
    assert done.code == 3 and "DAMAGED" in done.out and "--lenient" in done.err
    assert repository.gate("--update", trace="trace.bin").code == 3
    assert not (repository.folder / "pvreplay-baseline.toml").exists()
    assert repository.gate("--update", "--lenient", trace="trace.bin").code == 0
    assert repository.gate("--lenient", trace="trace.bin").code == 0
    assert repository.gate(trace="trace.bin").code == 3


def test_a_trace_without_a_switch_is_exit_3(repository: Repository) -> None:
    repository.write("trace.txt", trace_text(0, "0.1 0 fpu\n"))
    assert repository.gate().code == 3


@pytest.mark.parametrize(
    "args",
    [
        ("--max-increase", "much"),
        ("--max-increase", "-2%"),
        ("--config", "missing.toml"),
        ("--backend", "hyperv"),
        ("--baseline", "."),
        ("--output", "pvreplay-baseline.toml"),
    ],
)
def test_wrong_usage_is_exit_2_in_two_lines(repository: Repository, args: tuple[str, ...]) -> None:
    repository.gate("--update")
    done = repository.gate(*args)
    assert done.code == 2 and done.out == "" and len(done.err.splitlines()) <= 2


def test_a_missing_trace_is_exit_2(repository: Repository) -> None:
    assert repository.gate(trace="missing.bin").code == 2
    assert repository.gate(trace=None).code == 2


# --- broken rules --------------------------------------------------------------------------------

LEAVE_LAST = 'extends = "2.6.21"\n[[change]]\nmove = "leave_lazy_cpu"\nafter = "loadsegment"\n'
"""The order the seed patch warns of: a selector is loaded while its descriptor is queued."""
WITH_TLS = """\
# pvreplay trace 1
cpus 1
task 1 comm=a mm=1 gs=1 tls=1,0,0
task 2 comm=b mm=2 gs=1 tls=2,0,0
on 0 1
0.1 0 switch 2
0.2 0 switch 1
0.3 0 switch 2
"""


def test_a_rule_that_was_kept_and_is_broken_now_fails_whatever_else_got_better(
    repository: Repository,
) -> None:
    repository.write("trace.txt", WITH_TLS)
    repository.write("my.toml", 'extends = "2.6.21"\n')
    repository.gate("--update")
    repository.write("my.toml", LEAVE_LAST)
    verdict = repository.verdict("--max-increase", "1000%")
    assert verdict["exit_code"] == 1
    failing = [finding for finding in verdict["findings"] if finding["fails"]]
    assert failing and {finding["standing"] for finding in failing} == {"new"}
    assert all(finding["severity"] in ("error", "security") and finding["op"] for finding in failing)
    assert all(finding["violation"]["drawn"] for finding in failing)
    out = repository.gate().out
    assert "new:" in out and "<--" in out and "newly broken" in out
    assert repository.gate("--update").code == 0
    assert repository.gate().code == 0
    repository.write("my.toml", 'extends = "2.6.21"\n')
    gone = repository.verdict()
    assert gone["exit_code"] == 0 and "gone" in {finding["standing"] for finding in gone["findings"]}


def test_the_help_tells_the_defaults_of_the_gate_and_leaves_those_of_run() -> None:
    gate, run = (" ".join(pvreplay(name, "--help").out.split()) for name in ("gate", "run"))
    assert (
        "Default: the baseline's, else 2.6.21." in gate
        and "Default: the baseline's, else all built in." in gate
    )
    assert "baseline" not in run and "[default: 2.6.21]" in run and "Default: all built in." in run
