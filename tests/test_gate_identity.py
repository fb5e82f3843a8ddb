"""What makes two traces, two kernels or two backends the same; what happened to a switch path."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pvreplay.backends.reader import builtin_backends, load_backend
from pvreplay.gate.entry import PathStep, path_of
from pvreplay.gate.identity import Identified
from pvreplay.gate.model import backend_digest, kernel_digest, rules_digest
from pvreplay.gate.paths import step_changes, steps_of
from pvreplay.kernels import builtin_kernels, load_kernel
from pvreplay.sources.detect import open_trace
from pvreplay.synth import make, workload_names
from pvreplay.trace.binary_write import BinaryWriter
from pvreplay.trace.model import Trace
from pvreplay.trace.text_write import write_text


def digest(trace: Trace) -> str:
    identified = Identified(trace)
    for _ in identified.chunks():
        pass
    return identified.digest()


@pytest.mark.parametrize("name", workload_names())
def test_a_trace_and_its_two_files_have_one_digest(name: str, tmp_path: Path) -> None:
    def trace() -> Trace:
        return make(name, switches=300, seed=5, cpus=3)

    binary, text = tmp_path / "t.bin", tmp_path / "t.txt"
    with binary.open("wb") as file:
        source = trace()
        writer = BinaryWriter(file, source.meta)
        for chunk in source.chunks():
            writer.write(chunk)
        writer.close()
    out = io.BytesIO()
    write_text(trace(), out)
    text.write_bytes(out.getvalue())
    assert digest(trace()) == digest(open_trace(str(binary))) == digest(open_trace(str(text)))
    assert digest(trace()) != digest(make(name, switches=301, seed=5, cpus=3))


BASE = """\
# pvreplay trace 1
cpus 2
task 1 comm=a pid=1 mm=1
task 2 comm=b pid=2 mm=2
on 0 1
0.1 0 switch 2
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.1 0", "0.2 0"),
        ("switch 2", "switch 1"),
        ("mm=2", "mm=1"),
        ("comm=b", "comm=c"),
        ("pid=2", "pid=3"),
        ("mm=1\n", "mm=1 iopl=3\n"),
        ("mm=1\n", "mm=1 tls=1,0,0\n"),
        ("mm=1\n", "mm=1 fpu=1\n"),
        ("on 0 1", "on 1 1"),
    ],
)
def test_any_change_of_events_or_tasks_is_another_trace(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(BASE)
    before = digest(open_trace(str(path)))
    assert BASE.count(old) >= 1
    path.write_text(BASE.replace(old, new))
    assert digest(open_trace(str(path))) != before


def test_an_identified_trace_is_otherwise_the_trace() -> None:
    source = make("pingpong", switches=23, seed=1)
    identified = Identified(source)
    assert identified.meta is source.meta and identified.doubts is source.doubts
    assert identified.damage == source.damage
    with pytest.raises(AttributeError):
        identified.no_such_thing  # noqa: B018


# --- models --------------------------------------------------------------------------------------


def test_every_builtin_kernel_and_backend_has_a_digest_of_its_own() -> None:
    kernels = {kernel_digest(load_kernel(name)) for name in builtin_kernels()}
    assert len(kernels) == len(builtin_kernels())
    kernel = load_kernel("2.6.31")
    backends = {backend_digest(load_backend(name, kernel)) for name in builtin_backends()}
    assert len(backends) == len(builtin_backends())


def test_words_do_not_change_a_digest_and_deeds_do(tmp_path: Path) -> None:
    kernel = load_kernel("2.6.21")

    def of(text: str) -> str:
        path = tmp_path / "xen2.toml"
        path.write_text('name = "xen2"\nextends = "xen"\n' + text)
        return backend_digest(load_backend(str(path), kernel))

    plain = of("")
    assert of('title = "another"\nnotes = ["said differently"]\n') == plain
    assert of('[[op]]\nname = "load_tls"\ndoes = "hypercall"\n') != plain
    hypercall = of('[[op]]\nname = "load_tls"\ndoes = "hypercall"\n')
    assert of('[[op]]\nname = "load_tls"\ndoes = "hypercall"\nnote = "why"\nsource = "here"\n') == hypercall
    assert kernel_digest(load_kernel("2.6.21", iopl="posted")) != kernel_digest(kernel)
    assert rules_digest(["H1", "H2"]) == rules_digest(["H2", "H1"]) != rules_digest(["H1"])


# --- paths ---------------------------------------------------------------------------------------


def path(*names: str) -> list[PathStep]:
    """A path of steps whose op has the name of the step."""
    return [PathStep(step=name, ops=name) for name in names]


FULL = ("enter_lazy_cpu", "cr3", "tls", "iopl", "leave_lazy_cpu", "gs", "current")


def test_a_path_that_did_not_change_has_nothing_to_say() -> None:
    assert step_changes(path(*FULL), path(*FULL)) == {}
    assert step_changes([], path(*FULL)) == {}
    assert step_changes(path_of(load_kernel("2.6.21")), path_of(load_kernel("2.6.21"))) == {}


def test_a_step_that_left_the_batch_says_from_where_to_where() -> None:
    new = path("enter_lazy_cpu", "cr3", "tls", "leave_lazy_cpu", "gs", "iopl", "current")
    assert step_changes(path(*FULL), new) == {
        "iopl": "moved: now after gs, was after tls; no longer in the batch"
    }
    assert step_changes(new, path(*FULL)) == {"iopl": "moved: now after tls, was after gs; now in the batch"}


def test_a_batch_that_ends_earlier_is_named_by_what_falls_out_of_it() -> None:
    new = path("enter_lazy_cpu", "leave_lazy_cpu", "cr3", "tls", "iopl", "gs", "current")
    told = step_changes(path(*FULL), new)
    assert told["leave_lazy_cpu"] == "moved: now after enter_lazy_cpu, was after iopl"
    assert told["tls"] == "no longer in the batch: leave_lazy_cpu moved"
    assert "gs" not in told and "current" not in told


def test_added_dropped_guarded_and_replaced_steps_are_told() -> None:
    old = path("first", "second", "third")
    new = [
        PathStep(step="new", ops="write_cr3"),
        PathStep(step="first", ops="first", when="mm_differs"),
        PathStep(step="second", ops="other"),
    ]
    assert step_changes(old, new) == {
        "new": "added first, with write_cr3",
        "first": "now when mm_differs, was true",
        "second": "now other, was second",
        "third": "dropped, with third",
    }


def test_the_steps_of_an_op_are_found_whatever_its_operand() -> None:
    kernel_path = path_of(load_kernel("2.6.21"))
    assert [step.step for step in steps_of("loadsegment", kernel_path)] == ["loadsegment"]
    assert [step.step for step in steps_of("clts", kernel_path)] == ["math_state_restore", "(#NM)"]
    assert steps_of("no_such_op", kernel_path) == []


def test_the_path_holds_the_fpu_rules_and_the_lazy_modes() -> None:
    by_name = {step.step: step.ops for step in path_of(load_kernel("2.6.32"))}
    assert by_name["(FPU)"].startswith("lazy, eager above 5")
    assert by_name["(lazy MMU)"] == "lazy MMU mode, parks it at a switch, interrupts ignore it"
    assert by_name["(kernel)"].startswith("i386 2.6.32")
