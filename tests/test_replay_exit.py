"""The last switch of a user task, on kernels whose FPU is not lazy."""

from __future__ import annotations

import pytest

from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.shape import UNIT_SWITCH, names
from pvreplay.replay.run import replay
from pvreplay.replay.step import step_rows
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import ListTrace
from pvreplay.trace.model import Task


@pytest.mark.parametrize("kernel_name, saved", [("4.13", False), ("5.17", True), ("6.1", True)])
def test_an_exiting_user_task_is_saved_where_the_kernel_asks_for_kernel_threads_only(
    kernel_name: str, saved: bool
) -> None:
    kernel = load_kernel(kernel_name)
    tasks = [Task(1, "a", mm=1), Task(2, "kthread"), Task(3, "child", mm=3)]
    events = [
        (1, 0, Kind.FORK, 3),
        (2, 0, Kind.EXIT),
        (3, 0, Kind.SWITCH, 2),  # a's last switch
        (4, 0, Kind.SWITCH, 3),  # a kernel thread is never saved
        (5, 0, Kind.SWITCH, 2),  # a living task always is
        (6, 0, Kind.EXEC, 4),  # a kernel thread becomes a user task
        (7, 0, Kind.SWITCH, 3),
    ]
    trace = ListTrace(events, tasks, [(0, 1)])
    for hist in (replay(trace, kernel), replay(trace, kernel, interpreted=True), step_rows(trace, kernel)):
        switches = [row for row in hist.rows if row.unit_type == UNIT_SWITCH]
        assert ["prev_fpu" in names(row.payload) for row in switches] == [saved, False, True, True]
