"""Settings of the gate: where they are found, what they may say, how a wrong one is told."""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from pvreplay.errors import ConfigError
from pvreplay.gate.config import GateConfig, check_names, read_config
from pvreplay.gate.model import MODEL
from tests.gate_tools import KERNEL, MOVED, Repository, checks


def read(text: str) -> GateConfig:
    return read_config(tomllib.loads(text), "gate.toml")


def test_everything_that_can_be_said() -> None:
    config = read(
        """
        [gate]
        baseline = "b.toml"
        kernel = "my.toml"
        backends = ["xen", "vmi", "xen"]
        max_increase = "2%"
        allow_lost = true
        [gate.budget.xen]
        hypercalls_per_switch = 1.5
        entries = "+100"
        violations.error = 0
        [gate.budget."*"]
        traps = "0.1%"
        violations = 7
        """
    )
    assert (config.baseline, config.kernel, config.backends) == ("b.toml", "my.toml", ("xen", "vmi"))
    assert config.max_increase is not None and config.max_increase.value == Fraction(1, 50)
    assert config.allow == {"allow_lost"}
    of = config.budgets.of
    assert of("xen", "hypercalls_per_switch").limit(None) == Fraction(3, 2)
    assert of("xen", "entries").limit(Fraction(5)) == 105
    assert of("kvm", "traps").limit(Fraction(1000)) == 1001
    assert (
        of("xen", "violations.error").limit(None) == 0 and of("kvm", "violations.security").limit(None) == 7
    )
    assert of("xen", "violations.error").where == "gate.toml: gate.budget.xen.violations.error"


def test_a_number_as_max_increase_is_an_increase() -> None:
    found = read("[gate]\nmax_increase = 5").max_increase
    assert found is not None and found.limit(Fraction(100)) == 105


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[gate]\nmax_incraese = 1", "gate.max_incraese", "max_increase"),
        ("[gate]\nmax_increase = 'a lot'", "gate.max_increase", "2%"),
        ("[gate]\nmax_increase = true", "gate.max_increase", "2%"),
        ("[gate]\nbaseline = 3", "gate.baseline", "path"),
        ("[gate]\nbackends = 'xen'", "gate.backends", "vmi"),
        ("[gate]\nallow_lost = 'yes'", "gate.allow_lost", "true, false"),
        ("[gate]\nbudget = 3", "gate.budget", "table"),
        ("[gate.budget.xen]\nhypercals = 3", "gate.budget.xen.hypercals", "hypercalls_per_switch"),
        ("[gate.budget.xen]\nhypercalls = -3", "gate.budget.xen.hypercalls", "0 or more"),
        ("[gate.budget.xen]\nviolations.fatal = 3", "gate.budget.xen.violations.fatal", "violations.error"),
        ("gate = 3", "gate", "table"),
        ("max_increase = 1", "max_increase", "gate"),
        ("[tool.pvreplay]\nmax_increase = 1", "tool.pvreplay.max_increase", "tool.pvreplay.gate"),
        ("[tool.pvreplay.gate]\nx = 1", "tool.pvreplay.gate.x", "max_increase"),
    ],
)
def test_what_is_wrong_is_told_with_file_key_and_what_is_allowed(text: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(f"gate.toml: {key}: ")
    assert hint in caught.value.hint


def test_a_budget_for_a_backend_that_does_not_exist_would_never_be_checked_and_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        check_names(read("[gate.budget.xn]\ntraps = 3"), ("xen", "vmi"))
    assert "gate.budget.xn.traps: no backend 'xn'" in caught.value.message and "xen" in caught.value.hint
    check_names(read("[gate.budget.'*']\ntraps = 3\n[gate.budget.vmi]\ntraps = 3"), ("xen", "vmi"))


# --- in a repository -----------------------------------------------------------------------------


@pytest.fixture
def repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository(tmp_path, capsys)


def test_the_nearest_pyproject_with_our_table_counts_and_its_paths_are_its_own(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write(
        "pyproject.toml",
        '[tool.pvreplay.gate]\nbaseline = "ci/base.toml"\nkernel = "my.toml"\nbackends = ["vmi"]\n',
    )
    repository.write("sub/pyproject.toml", "[project]\nname = 'no table of pvreplay here'\n")
    repository.write("sub/deeper/here", "")
    repository.write("ci/here", "")
    monkeypatch.chdir(repository.folder / "sub" / "deeper")
    assert repository.gate("--update", kernel=None, trace="../../trace.txt").code == 0
    assert (repository.folder / "ci" / "base.toml").exists()
    verdict = repository.verdict(kernel=None, trace="../../trace.txt")
    assert verdict["exit_code"] == 0 and verdict["traces"][0]["backends"] == ["vmi"]
    repository.write("my.toml", MOVED)
    assert repository.gate(kernel=None, trace="../../trace.txt").code == 1


def test_a_broken_pyproject_is_told_with_its_line(repository: Repository) -> None:
    repository.write("pyproject.toml", "[tool.pvreplay.gate]\nmax_increase = \n")
    done = repository.gate()
    assert done.code == 2 and "pyproject.toml" in done.err and "line 2" in done.err


def test_a_file_without_our_table_is_no_config(repository: Repository) -> None:
    repository.write("gate.toml", "")
    done = repository.gate("--config", "gate.toml")
    assert done.code == 2 and "[gate]" in done.err


def test_budgets_decide_without_a_baseline_and_name_themselves(repository: Repository) -> None:
    repository.write("gate.toml", "[gate.budget.vmi]\nhypercalls_per_switch = 1.0\n")
    assert repository.gate("--config", "gate.toml").code == 0
    repository.write("my.toml", MOVED)
    verdict = repository.verdict("--config", "gate.toml")
    assert verdict["exit_code"] == 1 and verdict["config"] == "gate.toml" and verdict["baseline"] == ""
    assert checks(verdict, "fail") == {("vmi", "hypercalls_per_switch")}
    out = repository.gate("--config", "gate.toml").out
    assert "gate.toml: gate.budget.vmi.hypercalls_per_switch" in out


def test_a_tolerance_from_the_command_line_goes_before_that_of_the_file(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("my.toml", MOVED)
    repository.write("gate.toml", "[gate]\nmax_increase = 23\n")
    assert repository.gate("--config", "gate.toml").code == 0
    assert repository.gate("--config", "gate.toml", "--max-increase", "22").code == 1
    assert repository.gate("--max-increase", "22").code == 1
    assert repository.gate("--max-increase", "23").code == 0


def test_what_the_file_allows_needs_no_option(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("gate.toml", "[gate]\nallow_model_change = true\n")
    repository.write(
        "pvreplay-baseline.toml", repository.read().replace(f"model = {MODEL}\n", "model = 999\n")
    )
    assert repository.gate().code == 4
    assert repository.gate("--config", "gate.toml").code == 0


def test_an_update_tells_which_budgets_are_still_exceeded(repository: Repository) -> None:
    repository.write("gate.toml", "[gate.budget.vmi]\nhypercalls = 23\n")
    repository.write("my.toml", MOVED)
    done = repository.gate("--config", "gate.toml", "--update")
    assert done.code == 0 and "still over a budget" in done.out
    assert repository.gate("--config", "gate.toml").code == 1
    repository.write("my.toml", KERNEL)
    assert repository.gate("--config", "gate.toml").code == 0
