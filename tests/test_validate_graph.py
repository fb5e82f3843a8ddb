"""function_graph text as evidence: who runs is told by bars, switches by what schedule() calls."""

from __future__ import annotations

from pathlib import Path

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.sources import records as r
from pvreplay.validate.compare import validate
from pvreplay.validate.items import Recording
from pvreplay.validate.predict import Prediction
from pvreplay.validate.result import Result
from pvreplay.validate.signs import Survey

KERNEL = load_kernel("6.1")
NATIVE = load_backend("native", KERNEL)
SHELL, OTHER, KWORKER, IDLE = ("sh", 100), ("other", 101), ("kworker", 7), ("<idle>", 0)
ENTER, NEW = (
    ("enter_lazy_tlb();",),
    ("switch_mm_irqs_off() {", "  load_new_mm_cr3();", "  switch_ldt();", "}"),
)
KEPT = ("switch_mm_irqs_off();",)
SAVE = ("save_fpregs_to_fpstate();",)
XTRA = ("__switch_to_xtra();",)


class Graph:
    """Lines of one CPU as the function_graph tracer prints them."""

    def __init__(self) -> None:
        self.lines = ["# tracer: function_graph", "#", "# CPU  DURATION                  FUNCTION CALLS"]

    def bar(self, left: tuple[str, int], right: tuple[str, int], cpu: int = 0) -> Graph:
        rule = " " + "-" * 42
        names = "   =>  ".join(f"{name[:7]}-{pid}" for name, pid in (left, right))
        self.lines += [rule, f" {cpu})  {names}  ", rule, ""]
        return self

    def call(self, *texts: str, depth: int = 0, cpu: int = 0) -> Graph:
        self.lines += [f" {cpu})   2.000 us    |  {'  ' * depth}{text}" for text in texts]
        return self

    def out(self, *texts: str, idle: bool = False, scheduler: str = "schedule") -> Graph:
        """The first half of a switch."""
        self.call(f"{scheduler}() {{")
        if idle:
            self.call("pick_next_task_idle();", depth=1)
        return self.call(*texts, depth=1)

    def back(self, *texts: str) -> Graph:
        """The second half, in the next task."""
        return self.call(*texts, "finish_task_switch.isra.0();", depth=1).call("}")

    def to(
        self, left: tuple[str, int], right: tuple[str, int], *texts: str, tail: tuple[str, ...] = ()
    ) -> Graph:
        """A whole switch to a task that has lines."""
        scheduler = "schedule" if left[1] else "schedule_idle"
        return self.out(*texts, idle=not right[1], scheduler=scheduler).bar(left, right).back(*tail)


def written(graph: Graph, tmp_path: Path) -> Recording:
    path = tmp_path / "graph.txt"
    path.write_text("\n".join(graph.lines) + "\n")
    return Recording(str(path))


def checked(graph: Graph, tmp_path: Path) -> Result:
    recording = written(graph, tmp_path)
    return validate(recording, Survey(recording.items()), KERNEL, NATIVE)


def switches(graph: Graph, tmp_path: Path) -> list[tuple[int, int]]:
    return [(item.a, item.b) for item in written(graph, tmp_path).items() if item.type == r.SWITCH]


def between_all() -> Graph:
    """Idle, two processes and a kernel thread."""
    graph = Graph().to(IDLE, SHELL, *NEW).to(SHELL, IDLE, *ENTER, *SAVE).to(IDLE, SHELL, *KEPT)
    for _ in range(2):
        graph.to(SHELL, OTHER, *NEW, *SAVE).to(OTHER, KWORKER, *ENTER, *SAVE).to(KWORKER, OTHER, *KEPT)
        graph.to(OTHER, SHELL, *NEW, *SAVE)
    return graph


def test_switches_are_told_by_bars_and_by_the_choice_of_idle(tmp_path: Path) -> None:
    assert switches(between_all(), tmp_path)[:5] == [(0, 100), (100, 0), (0, 100), (100, 101), (101, 7)]


def test_steps_and_guards_agree(tmp_path: Path) -> None:
    result = checked(between_all(), tmp_path)
    assert result.format == "function_graph text"
    assert (result.switches.different, result.switches.compared) == (0, 9)
    assert result.reasons["old_mm"].switches == 1, "sh and other: one unknown for all their switches"
    assert result.decisions["mm"].seen == 5
    assert result.decisions["fpu_save"].seen == result.decisions["fpu_save"].agree - 4 == 7
    assert result.decisions["next_kernel"].agree == 1, "only where the bar was not held against the call"
    assert "set_ldt" in result.not_shown and result.notes


def test_registers_saved_twice_are_a_difference(tmp_path: Path) -> None:
    graph = between_all().to(SHELL, OTHER, *NEW, *SAVE, *SAVE)
    result = checked(graph, tmp_path)
    assert result.switches.different == 1 and result.failed


def test_a_save_for_a_kernel_thread_is_a_difference(tmp_path: Path) -> None:
    graph = between_all().to(SHELL, KWORKER, *ENTER, *SAVE).to(KWORKER, SHELL, *KEPT, *SAVE)
    result = checked(graph, tmp_path)
    assert result.switches.different == 1
    assert result.classes[0].example is not None and result.classes[0].example.prev == "kworker/-7"


def test_idle_without_lines_gives_two_halves(tmp_path: Path) -> None:
    """64 bits, set_graph_function: the next task's half shows __switch_to_xtra(), idle's does not."""
    graph = between_all()
    graph.to(SHELL, OTHER, *NEW, *SAVE, tail=XTRA)  # sh has the state, and leaves with it
    for _ in range(3):
        graph.out(*ENTER, *SAVE, idle=True).call(*XTRA, depth=1).back()
    pairs = switches(graph, tmp_path)
    assert pairs[-6:] == [(101, 0), (0, 101)] * 3
    result = checked(graph, tmp_path)
    assert result.switches.different == 0
    assert result.decisions["xtra"].seen == 4
    assert result.decisions["xtra"].predicted == 2, "learnt of other: its way in, and not its way to idle"


def test_a_task_that_has_no_line_leaves_its_switch_out(tmp_path: Path) -> None:
    hidden = between_all().out(*NEW, *SAVE).back()  # sh went somewhere and came back without a bar
    assert switches(hidden, tmp_path) == switches(between_all(), tmp_path)
    result = checked(hidden, tmp_path)
    assert (result.lost_events, result.switches.different) == (1, 0)
    # the bar names a kernel thread, but a user task's mm was loaded: it went to another task first
    contradicted = between_all().to(SHELL, KWORKER, *NEW, *SAVE)
    assert switches(contradicted, tmp_path) == switches(between_all(), tmp_path)
    # and a bar whose lines do not begin with the end of a switch may name a later task
    begun = between_all().out(*NEW, *SAVE).bar(SHELL, OTHER).call("schedule() {")
    assert switches(begun, tmp_path) == switches(between_all(), tmp_path)


def test_sched_switch_in_the_graph_tells_the_switches(tmp_path: Path) -> None:
    graph = Graph()
    event = (
        "/* sched_switch: prev_comm={} prev_pid={} prev_prio=120 prev_state=S ==> "
        "next_comm={} next_pid={} next_prio=120 */"
    )
    for one, two, calls in ((SHELL, KWORKER, (*ENTER, *SAVE)), (KWORKER, SHELL, KEPT)):
        told = event.format(*(f"{one[0]}/0:1", one[1], f"{two[0]}/0:1", two[1]))
        graph.out("__traceiter_sched_switch() {", f"  {told}", "}", *calls).bar(one, two).back()
    recording = written(graph, tmp_path)
    found = [item for item in recording.items() if item.type == r.SWITCH]
    assert [(item.a, item.b) for item in found] == [(100, 7), (7, 100)]
    result = checked(graph, tmp_path)
    assert (result.switches.equal, result.switches.different) == (2, 0)
    assert result.decisions["next_kernel"].agree == 2


def test_the_prediction_of_a_graph_does_not_hang_on_its_guards(tmp_path: Path) -> None:
    """Without the saves, and with other xtra calls, the same switches are predicted."""
    graph = between_all().to(SHELL, OTHER, *NEW, *SAVE, tail=XTRA)
    full = [each.facts for each in Prediction(written(graph, tmp_path), KERNEL)]
    graph.lines = [line for line in graph.lines if "save_fpregs" not in line and "load_new_mm" not in line]
    assert [each.facts for each in Prediction(written(graph, tmp_path), KERNEL)] == full


def test_records_of_a_graph_as_trace_cmd_prints_them(tmp_path: Path) -> None:
    """A time and a task on each line, ends of calls too; a half that is not shown is left out."""
    lines = ["cpus=1"]
    clock = iter(range(100, 10_000))

    def say(name: str, pid: int, text: str) -> None:
        lines.append(f"{name:>16}-{pid:<5} [000]     1.{next(clock):06}: {text}")

    def switch(one: tuple[str, int], two: tuple[str, int], *calls: str, shown: bool = True) -> None:
        if shown:
            say(*one, "funcgraph_entry:                   |  schedule() {")
        say(*one, f"sched_switch:         {one[0]}:{one[1]} [120] S ==> {two[0]}:{two[1]} [120]")
        for call in calls:
            say(*one, f"funcgraph_entry:        1.424 us   |    {call}();")
        say(*two, "funcgraph_entry:        2.000 us   |    finish_task_switch.isra.0();")
        if shown:
            say(*two, "funcgraph_exit:       + 16.799 us  |  }")

    swapper, kworker = ("<idle>", 0), ("kworker/0:1", 7)
    for _ in range(3):
        switch(swapper, SHELL, "switch_mm_irqs_off")
        switch(SHELL, kworker, "enter_lazy_tlb", "save_fpregs_to_fpstate")
        switch(kworker, SHELL, "switch_mm_irqs_off")
        switch(SHELL, swapper, shown=False)  # preempted: schedule() was not called
    path = tmp_path / "report.txt"
    path.write_text("\n".join(lines) + "\n")
    recording = Recording(str(path))
    result = validate(recording, Survey(recording.items()), KERNEL, NATIVE)
    assert (result.switches.different, result.switches.equal, result.switches.outside) == (0, 9, 3)
    assert result.decisions["next_kernel"].agree == 9
    assert result.decisions["fpu_save"].agree == 9
