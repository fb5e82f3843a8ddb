"""docs/claims.md: its commands print what it shows, and what it claims holds beyond its examples."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli_helpers import pvreplay
from tests.console import examples, matches

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "claims.md"
EXAMPLES = examples(PAGE)
RECORDING = "traces/guest-n32-fpthreads.trace.txt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped traces and those that the page makes."""
    made = tmp_path_factory.mktemp("claims")
    shutil.copytree(ROOT / "traces", made / "traces")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for command, _ in EXAMPLES:
            if " synth " in command:
                assert pvreplay(*shlex.split(command)[1:]).code == 0, command
    return made


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the traces where the page says they are."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")


def parsed(*words: str | Path) -> dict[str, Any]:
    """The JSON a command prints."""
    done = pvreplay(*words, "--format", "json")
    assert done.code in (0, 1), done.err
    result: dict[str, Any] = json.loads(done.out)
    return result


def ran(trace: str | Path, kernel: str, backend: str) -> dict[str, Any]:
    """The result of one backend on a trace."""
    (result,) = parsed("run", trace, "-k", kernel, "-b", backend)["backends"]
    return dict(result)


def checked(order: str, kernel: str, backend: str, *options: str) -> dict[str, Any]:
    """The result of one backend on an order."""
    (result,) = parsed("check", order, "-k", kernel, "-b", backend, *options)["backends"]
    return dict(result)


def synthesized(name: str, *words: str) -> Path:
    """A synthetic trace in the folder."""
    path = Path(name)
    assert pvreplay("synth", *words, "-o", path).code == 0
    return path


@pytest.mark.parametrize("command, shown", EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_page_shows_what_is_printed(command: str, shown: list[str]) -> None:
    done = pvreplay(*shlex.split(command)[1:])
    assert done.code in (0, 1), done.err
    assert matches(shown, [line.rstrip() for line in done.out.splitlines()]), done.out


def test_every_row_is_a_section_with_its_command() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| \[.*?\]\(#(\S+)\) \|.*\| `(pvreplay .*)` \|$", text, re.M)
    headings = [
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", text, re.M)
    ]
    assert [anchor for anchor, _ in rows] == headings
    assert {command for _, command in rows} <= {command for command, _ in EXAMPLES}


@pytest.mark.parametrize("threads, ops", [(0, 5), (1, 4)])
def test_four_or_five_hypercalls_become_one(threads: int, ops: int) -> None:
    trace = synthesized("claim.bin", "pingpong", "-n", "97", "--set", f"threads={threads}")
    result = ran(trace, "2.6.24", "xen")
    assert (result["hypercalls"], result["unbatched_hypercalls"]) == (97, 97 * ops)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_clts_is_the_eager_restores(seed: int | None) -> None:
    """On an FPU-heavy trace 2.6.31 and 2.6.32 differ by one hypercall an eager restore, and clts makes it."""
    trace: str | Path = RECORDING
    if seed is not None:
        trace = synthesized("claim.bin", "fpumix", "-n", "2000", "--seed", str(seed))
    before, after = (ran(trace, kernel, "xen") for kernel in ("2.6.31", "2.6.32"))
    eager = sum(
        cost["count"] for shape, cost in after["by_shape"].items() if "next_eager" in shape.split("+")
    )
    assert eager > 300
    (pair,) = parsed("diff", "xen@2.6.31", "vs", "xen@2.6.32", trace)["pairs"]
    for metric, difference in {"hypercalls": -eager, "entries": 0, "traps": 0, "rom_calls": 0}.items():
        assert pair["metrics"][metric]["difference"] == difference
    (op,) = pair["by_op"]
    assert op["op"] == "clts"
    assert op["b"]["hypercalls"] - op["a"]["hypercalls"] == -eager
    assert op["a"]["entries"] == op["b"]["entries"] and op["a"]["count"] == op["b"]["count"]
    assert "preload_clts" in op["why"] and "math_state_restore" in op["why"]
    assert before["outside"] == after["outside"], "no batch takes the clts of a fault"
    assert after["by_op"]["clts"]["hypercalls"] == after["outside"]["nm"]["count"]


def test_reading_cr0_no_longer_traps() -> None:
    before, after = (ran("fpumix.bin", kernel, "xen") for kernel in ("2.6.30", "2.6.31"))
    read = before["by_op"]["read_cr0"]
    assert read["traps"] == read["count"] == before["traps"] > 0
    assert after["traps"] == 0 and after["by_op"]["read_cr0"]["count"] == read["count"]
    assert before["hypercalls"] == after["hypercalls"]


@pytest.mark.parametrize("changed", [0, 1, 2, 3])
def test_only_changed_tls_descriptors_are_queued(changed: int) -> None:
    order = "begin enter_cpu load_tls leave_cpu end"
    old, new = (checked(order, kernel, "xen", "--tls-slots", str(changed)) for kernel in ("3.1", "4.13"))
    assert (old["entries"], old["hypercalls"]) == (3, 1)
    assert (new["entries"], new["hypercalls"]) == (changed, min(changed, 1))


@pytest.mark.parametrize("kernel", ["2.6.20", "2.6.21", "2.6.32"])
@pytest.mark.parametrize("slices", [5, 6, 7, 255, 256, 257, 262, 263, 600])
def test_six_slices_of_256_take_the_fault(kernel: str, slices: int) -> None:
    trace = synthesized("claim.bin", "pingpong", "-n", str(2 * slices), "--set", "fpu=1000")
    faults = ran(trace, kernel, "native")["outside"]["nm"]["count"]
    assert faults == 2 * sum(1 for slice_ in range(slices) if slice_ % 256 < 6)


def test_without_sleazy_fpu_every_slice_takes_the_fault() -> None:
    assert ran("always.bin", "traces/always-lazy.toml", "native")["outside"]["nm"]["count"] == 5120


@pytest.mark.parametrize("ptes", [1, 2, 32])
def test_mprotect_is_one_hypercall_a_section(ptes: int) -> None:
    order = " ".join(
        ["enter_mmu"]
        + [f"ptep_modify_prot_start:{pte} ptep_modify_prot_commit:{pte}" for pte in range(ptes)]
        + ["leave_mmu"]
    )
    old, new = (checked(order, kernel, "xen") for kernel in ("2.6.24", "2.6.27"))
    assert (old["traps"], old["hypercalls"]) == (2 * ptes, 0)
    assert (new["traps"], new["hypercalls"], new["entries"]) == (0, 1, 1), "updates in a row share an entry"


@pytest.mark.parametrize("writes", [1, 21, 22, 42, 43, 63, 64, 84, 85, 1000])
def test_kvm_takes_a_hypercall_for_21_writes_and_flushes_at_42(writes: int) -> None:
    text = Path("traces/kvm-queue.txt").read_text().replace("set_pte 42", f"set_pte {writes}")
    Path("claim.txt").write_text(text)
    full, rest = divmod(writes, 42)
    assert ran("claim.txt", "2.6.27", "kvm")["hypercalls"] == 2 * full + -(-rest // 21)


@pytest.mark.parametrize("kernel", ["2.6.24", "2.6.32", "4.13"])
def test_lguest_leaves_with_a_hypercall(kernel: str) -> None:
    order = "begin enter_cpu leave_cpu end"
    assert checked(order, kernel, "lguest")["hypercalls"] == 1
    assert checked(order, kernel, "xen")["hypercalls"] == 0


def test_the_seeds_write_of_cr4_is_the_only_difference() -> None:
    (pair,) = parsed("diff", "vmi@seed", "vs", "vmi@2.6.21", "traces/notsc.txt")["pairs"]
    (op,) = pair["by_op"]
    assert op["op"] == "write_cr4" and op["how"] == "hypercall -> queued"
    assert (op["a"]["hypercalls"], op["b"]["hypercalls"]) == (4, 0)
    assert (op["a"]["entries"], op["b"]["entries"]) == (0, 4)
    assert pair["metrics"]["hypercalls"]["difference"] == -4
