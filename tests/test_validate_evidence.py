"""Recordings written line by line: what is compared, what is undecided, what is other work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.errors import TraceError, UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.report import validate_json, validate_text
from pvreplay.validate.compare import validate
from pvreplay.validate.contents import Gap
from pvreplay.validate.items import Recording
from pvreplay.validate.learnt import Learnt
from pvreplay.validate.pairs import Pairs
from pvreplay.validate.result import Result
from pvreplay.validate.signs import Survey
from tests.validate_texts import IDLE, SHELL, Text, started

KERNEL = load_kernel("6.1")
XEN = load_backend("xen", KERNEL)
ONE, TWO, THREAD = ("one", 201), ("two", 202), ("one", 203)
EXEC = "sched_process_exec: filename=/one pid=201 old_pid=201"
"""After it, nothing of the time before the recording is left in the task's TLS slots and mm."""


def checked(text: Text, tmp_path: Path, assume: dict[str, str] | None = None) -> Result:
    path = tmp_path / "recording.txt"
    path.write_bytes(text.bytes())
    recording = Recording(str(path))
    return validate(recording, Survey(recording.items()), KERNEL, XEN, assume)


def test_switches_between_processes_threads_and_idle_agree(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).born("one", 203, 0x3D0F00)
    text.switch(THREAD).switch(IDLE).switch(ONE).switch(TWO, cr3=True).switch(IDLE).switch(TWO).switch(IDLE)
    result = checked(text, tmp_path)
    assert (result.switches.different, result.switches.undecided) == (0, 0)
    assert result.decisions["mm"].seen == 2
    assert result.switches.compared == 10
    assert result.switches.outside == 1, "the first, before every sign was there"


@pytest.mark.parametrize(
    "flush",
    [
        "xen_mc_flush: flushing 2 hypercalls, 0 arg bytes, 0 callbacks",
        "xen_mc_flush: flushing 0 hypercalls, 8 arg bytes, 0 callbacks",
        "xen_mc_flush: flushing 0 hypercalls, 0 arg bytes, 1 callbacks",
    ],
)
def test_one_number_of_a_flush_makes_a_difference(tmp_path: Path, flush: str) -> None:
    text = started().switch(ONE, cr3=True).line(EXEC).call(243, 3)
    text.switch(IDLE, flush=flush).switch(ONE).switch(IDLE)
    result = checked(text, tmp_path)
    assert result.switches.different == 1
    assert result.classes[0].verdict == "different"
    example = result.classes[0].example
    assert example is not None and (example.prev, example.next) == ("one-201", "swapper/0-0")


def test_a_cr3_write_between_threads_makes_a_difference(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).born("one", 203, 0x3D0F00).switch(THREAD, cr3=True).switch(IDLE)
    assert checked(text, tmp_path).switches.different == 1


def test_a_missing_cr3_write_between_processes_makes_a_difference(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).switch(TWO).switch(IDLE)
    assert checked(text, tmp_path).switches.different == 1


def test_a_lazily_kept_mm_may_be_loaded_again(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).switch(IDLE).switch(ONE, cr3=True).switch(IDLE)
    result = checked(text, tmp_path)
    assert (result.switches.different, result.switches.undecided) == (0, 1)
    assert result.reasons["lazy_tlb"].switches == 1


def test_other_work_in_a_window_is_told_apart(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True, inside=("irq_handler_entry: irq=1 name=i8042",)).switch(IDLE)
    result = checked(text, tmp_path)
    assert result.switches.different == 0
    assert result.other_work == {"irq_handler_entry": 1}


def test_work_between_switches_is_nobodys(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True)
    text.line("xen_mc_batch: start batch LAZY_NONE").line("xen_mmu_write_cr3: kernel cr3 1000")
    text.line("xen_mc_flush: flushing 9 hypercalls, 24 arg bytes, 0 callbacks").switch(IDLE).switch(ONE)
    result = checked(text.switch(IDLE), tmp_path)
    assert result.switches.different == 0
    assert result.other_work == {}


def test_a_tls_segment_told_by_an_i386_number_costs_an_entry_in_and_out(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).call(243, 0xFFDE0000)
    text.switch(IDLE, tls=1).switch(ONE, tls=1).switch(TWO, cr3=True, tls=1).switch(IDLE)
    result = checked(text, tmp_path, {"abi": "x86_64"})
    assert (result.switches.different, result.switches.undecided) == (0, 0)
    assert result.flushes["end_of_switch"].seen["2, 48, 1"] == 1
    assert result.flushes["end_of_switch"].seen["1, 0, 0"] == 2


def test_the_64_bit_call_of_that_number_sets_no_segment(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).call(243, 3).switch(IDLE).switch(ONE).switch(IDLE)
    assert checked(text, tmp_path, {"abi": "x86_64"}).switches.different == 0


def test_an_untold_tls_segment_is_undecided_once(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True)
    for _ in range(4):
        text.switch(IDLE, tls=1).switch(ONE, tls=1)
    result = checked(text.switch(TWO, cr3=True, tls=1).switch(IDLE), tmp_path)
    assert (result.switches.different, result.switches.undecided) == (0, 1)
    assert result.reasons["tls"].switches == 1
    # and what was learnt can be wrong: a second slot out of nowhere is undecided again
    text.switch(ONE, cr3=True, tls=2).switch(IDLE, tls=2)
    assert checked(text, tmp_path).reasons["tls"].switches == 2


def test_a_told_ldt_is_loaded_with_another_mm(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).call(154, 1, 0x7FFF0000)
    text.switch(TWO, cr3=True, ldt=True).switch(ONE, cr3=True, ldt=True).switch(IDLE).switch(ONE)
    result = checked(text.switch(IDLE), tmp_path, {"abi": "x86_64"})
    assert (result.switches.different, result.switches.undecided) == (0, 0)
    assert result.flushes["end_of_switch"].seen["2, 72, 1"] == 2


@pytest.mark.parametrize(("ldt", "different"), [(False, 0), (True, 1)])
def test_the_last_exit_from_an_mm_takes_its_ldt_along(tmp_path: Path, ldt: bool, different: int) -> None:
    text = started().switch(TWO, cr3=True).line("sched_process_exec: filename=/two pid=202 old_pid=202")
    text.switch(ONE, cr3=True).call(154, 1, 0x7FFF0000)
    text.switch(TWO, cr3=True, ldt=ldt, state="Z").switch(IDLE)
    result = checked(text, tmp_path, {"abi": "x86_64"})
    assert (result.switches.different, result.switches.undecided) == (different, 0)


def test_two_old_tasks_are_undecided_until_one_switch_tells(tmp_path: Path) -> None:
    text = Text().switch(SHELL, cr3=True).switch(IDLE).switch(SHELL)
    for _ in range(3):
        text.switch(("old", 101), cr3=True).switch(SHELL, cr3=True)
    result = checked(text.switch(IDLE), tmp_path)
    assert (result.switches.different, result.switches.undecided) == (0, 1)
    assert result.reasons["old_mm"].switches == 1


def test_a_window_cut_by_the_end_is_undecided(tmp_path: Path) -> None:
    text = started().switch(ONE, cr3=True).switch(IDLE)
    text.switch(ONE)
    text.lines = text.lines[:-2]
    result = checked(text, tmp_path)
    assert result.switches.different == 0
    assert result.switches.undecided + result.switches.outside == 2


def test_no_evidence_and_no_switch_are_errors(tmp_path: Path) -> None:
    bare = Text().line(
        "sched_switch: prev_comm=a prev_pid=1 prev_prio=1 prev_state=S ==> next_comm=b next_pid=2 next_prio=1"
    )
    with pytest.raises(UsageError, match="no evidence"):
        checked(bare, tmp_path)
    with pytest.raises(TraceError, match="no context switch"):
        checked(Text().line("xen_mc_flush: flushing 0 hypercalls, 0 arg bytes, 0 callbacks"), tmp_path)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(TraceError, match="empty"):
        Recording(str(empty))
    with pytest.raises(UsageError):
        Recording(str(tmp_path / "none"))


def test_hostile_names_reach_the_terminal_escaped(tmp_path: Path) -> None:
    evil = ("\x1b[31mx [003]", 201)
    text = (
        started()
        .switch(evil, cr3=True)
        .line(EXEC)
        .call(243, 3)
        .switch(IDLE, flush="xen_mc_flush: flushing 3 hypercalls, 0 arg bytes, 0 callbacks")
    )
    result = checked(text.switch(evil).switch(IDLE), tmp_path)
    assert result.switches.different == 1
    assert "\x1b" not in validate_text.render(result)
    assert b"\x1b" not in validate_json.render(result)


def test_pairs_are_transitive_and_can_be_forgotten() -> None:
    pairs = Pairs()
    assert pairs.same((-1, -2)) is None
    pairs.learn((-1, -2), True)
    pairs.learn((-3, -2), False)
    assert pairs.same((-3, -1)) is False
    pairs.learn((-4, -3), True)
    assert pairs.same((-1, -4)) is False
    pairs.learn((-1, -4), True)
    assert pairs.same((-2, -3)) is True
    pairs.forget(-2)
    assert pairs.same((-2, -1)) is None and pairs.same((-1, -3)) is True


def test_what_was_learnt_of_a_task_can_be_taken_back() -> None:
    learnt = Learnt()
    out, into = Gap("notsc", {"prev_notsc": 1}, key=7), Gap("notsc", {"next_notsc": 1}, key=7)
    facts = {"prev_notsc": 0, "next_notsc": 0, "tls": 0}
    assert learnt.settle([out], facts)[1] == facts
    learnt.learn([out])
    gaps, changed = learnt.settle([into], facts)
    assert changed["next_notsc"] == 1 and Gap("notsc", {"next_notsc": 0}, key=7) in gaps
    learnt.learn([Gap("notsc", {"next_notsc": 0}, key=7)])
    assert learnt.settle([into], facts)[1] == facts
