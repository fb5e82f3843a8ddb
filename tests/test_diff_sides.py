"""Every kind of side of ``diff`` against every other: what is compared, and what is refused and why."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.cli_helpers import LEAVE_LATE, PINGPONG, WITH_TLS, pvreplay, two_lines

SIDES = {
    "backend": "xen",
    "backend-form": "xen-unbatched",
    "backend@kernel": "xen@2.6.20",
    "backend-file": "box.toml",
    "backend-file@kernel-file": "box.toml@late.toml",
    "kernel": "2.6.20",
    "kernel-file": "late.toml",
    "trace": "t.txt",
    "trace-bin": "t.bin",
    "report": "a.json",
    "report-one-backend": "x.json",
}
KINDS = {name: name.split("-")[0].split("@")[0] for name in SIDES}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    (folder / "t.txt").write_text(PINGPONG)
    (folder / "tls.txt").write_text(WITH_TLS)
    (folder / "late.toml").write_text(f'name = "late"\n{LEAVE_LATE}')
    (folder / "box.toml").write_text('extends = "xen"\nname = "box"\n')
    trace, late, box = folder / "t.txt", folder / "late.toml", folder / "box.toml"
    assert pvreplay("convert", trace, folder / "t.bin").code == 0
    for name, options in {
        "a": ["-k", "2.6.20"],
        "x": ["-b", "xen"],
        "late": ["-k", late],
        "box": ["-b", box],
    }.items():
        out = folder / f"{name}.json"
        assert pvreplay("run", trace, *options, "-f", "json", "-o", out).code in (0, 1)
    return folder


@pytest.fixture
def folder(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(prepared)
    return prepared


@pytest.mark.parametrize(("a", "b"), list(product(SIDES, SIDES)))
def test_every_kind_of_side_is_compared_with_its_own_kind_and_refused_beside_another(
    folder: Path, a: str, b: str
) -> None:
    measured = {"trace", "report"}
    model = {"backend", "kernel"}
    done = pvreplay("diff", SIDES[a], "vs", SIDES[b], *(["t.txt"] if KINDS[a] in model else []), "-f", "json")
    kinds = {KINDS[a], KINDS[b]}
    if len(kinds) == 1 or kinds <= measured:
        assert done.code == 0, done.err
        document = json.loads(done.out)
        assert document["pairs"] and document["a"] == SIDES[a]
        if a == b:
            assert document["equal"]
    else:
        assert done.code == 2 and two_lines(done.err) and done.out == ""


@pytest.mark.parametrize("side", ["xen", "2.6.20", "t.txt", "a.json", "box.toml", "late.toml"])
def test_a_side_does_not_differ_from_itself_and_the_exit_code_says_so(folder: Path, side: str) -> None:
    assert pvreplay("diff", side, side, "--exit-code").code == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [("xen", "vmi"), ("2.6.20", "2.6.21"), ("t.txt", "tls.txt"), ("a.json", "x.json"), ("a.json", "tls.txt")],
)
def test_sides_that_differ_make_exit_code_1_only_when_asked(folder: Path, a: str, b: str) -> None:
    assert pvreplay("diff", a, "vs", b, "--exit-code").code == 1
    assert pvreplay("diff", a, "vs", b).code == 0


def backends(*args: str) -> list[str]:
    done = pvreplay("diff", *args, "-f", "json")
    assert done.code == 0, done.err
    return [pair["a"]["backend"] for pair in json.loads(done.out)["pairs"]]


def test_baselines_are_left_out_unless_they_are_asked_for(folder: Path) -> None:
    plain = ["native", "vmi", "xen", "lguest", "kvm"]
    assert backends("t.txt", "vs", "tls.txt") == plain
    assert backends("a.json", "vs", "a.json") == plain
    assert backends("a.json", "vs", "a.json", "-b", "xen-unbatched", "-b", "vmi") == ["vmi", "xen-unbatched"]
    assert backends("t.txt", "vs", "tls.txt", "-b", "xen-nolazy") == ["xen-nolazy"]


def test_a_report_made_with_files_of_ones_own_faces_a_trace_when_they_are_named(folder: Path) -> None:
    done = pvreplay("diff", "late.json", "vs", "t.txt")
    assert done.code == 2 and "--kernel" in done.err
    assert pvreplay("diff", "late.json", "vs", "t.txt", "-k", "late.toml", "--exit-code").code == 0
    done = pvreplay("diff", "box.json", "vs", "t.txt")
    assert done.code == 2 and "--backend" in done.err
    assert pvreplay("diff", "t.txt", "vs", "box.json", "-b", "box.toml", "--exit-code").code == 0


def stdin(path: str) -> Any:
    import io

    return io.TextIOWrapper(open(path, "rb"))


def test_one_side_may_be_standard_input_or_a_pipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", stdin("t.txt"))
    assert pvreplay("diff", "-", "vs", "t.bin", "--exit-code").code == 0
    monkeypatch.setattr("sys.stdin", stdin("t.txt"))
    assert pvreplay("diff", "x.json", "vs", "-", "--exit-code").code == 0
    read, write = os.pipe()
    os.write(write, Path("t.txt").read_bytes())
    os.close(write)
    assert pvreplay("diff", f"/dev/fd/{read}", "vs", "t.txt", "--exit-code").code == 0
    os.close(read)


def test_what_can_be_read_once_is_not_replayed_twice(folder: Path) -> None:
    read, write = os.pipe()
    os.close(write)
    for args in (
        ["-", "vs", "-"],
        ["2.6.20", "vs", "seed", "-"],
        ["2.6.20", "vs", "seed", f"/dev/fd/{read}"],
    ):
        done = pvreplay("diff", *args)
        assert done.code == 2 and two_lines(done.err) and "once" in done.err
    os.close(read)


def test_ops_stand_in_the_order_of_what_they_contribute_with_what_became_of_them(folder: Path) -> None:
    (pair,) = json.loads(pvreplay("diff", "xen@2.6.20", "vs", "xen@2.6.21", "t.txt", "-f", "json").out)[
        "pairs"
    ]
    changes = [abs(op["b"]["hypercalls"] - op["a"]["hypercalls"]) for op in pair["by_op"]]
    assert changes == sorted(changes, reverse=True) and len(set(changes)) > 1
    how = {op["op"]: op["how"] for op in pair["by_op"]}
    assert how["write_cr3"] == "hypercall -> queued" and how["leave_lazy_cpu"] == "not run -> hypercall"
    total = sum(op["b"]["hypercalls"] - op["a"]["hypercalls"] for op in pair["by_op"])
    assert total == pair["metrics"]["hypercalls"]["difference"]


def test_a_kernel_release_that_changed_one_thing_shows_that_thing_alone(folder: Path) -> None:
    """2fcddce10f6 (in v2.6.32) moved clts of an eager restore into the batch."""
    assert pvreplay("synth", "fpumix", "-n", "1000", "-o", "fpu.bin").code == 0
    (pair,) = json.loads(pvreplay("diff", "xen@2.6.31", "vs", "xen@2.6.32", "fpu.bin", "-f", "json").out)[
        "pairs"
    ]
    paid = {op["op"]: op["b"]["hypercalls"] - op["a"]["hypercalls"] for op in pair["by_op"]}
    assert {op for op, change in paid.items() if change} == {"clts"} and paid["clts"] < 0
    assert pair["metrics"]["hypercalls"]["difference"] == paid["clts"]


def test_what_differs_in_the_path_of_two_kernels_stands_beside_the_ops_it_explains(folder: Path) -> None:
    document = json.loads(pvreplay("diff", "2.6.21", "vs", "late.toml", "tls.txt", "-f", "json").out)
    assert document["path"]["leave_lazy_cpu"].startswith("moved: now after loadsegment")
    out = pvreplay("diff", "2.6.21", "vs", "late.toml", "tls.txt").out
    assert out.count("moved: now after loadsegment") == 1
    document = json.loads(pvreplay("diff", "xen@2.6.31", "vs", "xen@2.6.32", "-f", "json").out)
    (pair,) = document["pairs"]
    clts = next(op for op in pair["by_op"] if op["op"] == "clts")
    assert "preload_clts: added" in clts["why"] and "math_state_restore: now fpu_restore" in clts["why"]
    for form in ("text", "markdown", "html"):
        assert "preload_clts" in pvreplay("diff", "xen@2.6.31", "vs", "xen@2.6.32", "-f", form).out


def test_one_kernel_has_no_difference_in_its_path(folder: Path) -> None:
    for args in (["xen", "vs", "vmi", "t.txt"], ["a.json", "vs", "x.json"], ["2.6.21", "2.6.21", "t.txt"]):
        document = json.loads(pvreplay("diff", *args, "-f", "json").out)
        assert document["path"] == {} and not any(op["why"] for p in document["pairs"] for op in p["by_op"])
