"""``--like RECORDING``: a workload with the rates and mixes of a recording, and none of its names.

Fitted: who follows whom (a Markov chain over the tasks, the 60 that run most on their own, the
others as two groups, user and kernel), with it the popularity of tasks and the share of switches to
idle; a row a CPU, because tasks stay on theirs; how often idle or a kernel thread goes back to the
task before it; which tasks share an mm, with it the share of switches that change the mm; mean
slice of each task, with it the switches a second; FPU use, lazy MMU sections and their length, page
faults and interrupts per slice of each task; flush IPIs per idle slice; TLS, LDT, IOPL, %gs and the
like as the tasks have them at the end of the recording.

Not fitted: anything that depends on more than the previous task; slices that differ between CPUs;
the distribution of a slice around its mean (uniform up to twice the mean); forks, execs and exits
(the tasks are there all along). Names and pids do not pass into the synthetic trace.
"""

from __future__ import annotations

from typing import Final

from pvreplay.errors import TraceError
from pvreplay.synth.measure import BACK, Rates, TaskRates, measure
from pvreplay.synth.profile import ALWAYS, FAULT, IDLE, IRQ, LAST, SECTION, Act, Profile
from pvreplay.synth.trace import SynthTrace
from pvreplay.trace.events import Kind
from pvreplay.trace.model import Task, Trace

OWN_ROLES: Final = 60
GROUP_TASKS: Final = 64
"""Of each group only so many tasks are made: those that ran most."""
ANY_CPU: Final = -1
SLICE_MAX_NS: Final = (1 << 32) - 1
SAMPLE_SWITCHES: Final = 100_000
"""How long a synthetic trace is measured to compare it with the recording."""

_USER_GROUP: Final = "other-user"
_KERNEL_GROUP: Final = "other-kernel"


def fit(recording: Trace) -> tuple[Profile, Rates]:
    """The profile of a recording, and its rates.  Raises TraceError when it holds no switch."""
    rates = measure(recording)
    if not any(rates_.slices for task, rates_ in rates.tasks.items() if task):
        raise TraceError(
            f"{recording.meta.path}: no switch to a task", "Expected a recording with sched_switch events."
        )
    return profile_of(rates), rates


def profile_of(rates: Rates) -> Profile:
    """A profile with the rates given."""
    by_use = sorted(
        (task for task in rates.tasks if task), key=lambda task: (-rates.tasks[task].slices, task)
    )
    by_use = [task for task in by_use if rates.tasks[task].slices]
    roles: dict[int, str] = {0: IDLE}
    groups: dict[str, list[int]] = {}
    for rank, task in enumerate(by_use):
        if rank < OWN_ROLES:
            roles[task] = f"task-{rank + 1}"
        else:
            roles[task] = _USER_GROUP if rates.state[task].mm else _KERNEL_GROUP
            groups.setdefault(roles[task], []).append(task)
    rows = _rows(rates, roles)
    profile = Profile(rates.cpus, steal_ppm=ALWAYS)
    members = {name: [task] for task, name in roles.items()} | groups
    for name, tasks in members.items():
        together = _sum([rates.tasks[task] for task in tasks])
        on = {cpu: sorted(row.items()) for cpu, row in sorted(rows.get(name, {}).items())}
        anywhere = on.pop(ANY_CPU, [(roles[by_use[0]] if name == IDLE else IDLE, 1)])
        user = name != IDLE and bool(rates.state[tasks[0]].mm)
        acts = _acts(together, name == IDLE)
        profile.role(name, anywhere, _slice_ns(together), acts, user=user, next_on=on)
    mms: dict[int, int] = {}
    for name, tasks in members.items():
        for task in tasks[:GROUP_TASKS] if name != IDLE else ():
            _add_task(profile, name, rates.state[task], rates.tasks[task], mms)
    return profile


def _rows(rates: Rates, roles: dict[int, str]) -> dict[str, dict[int, dict[str, int]]]:
    """Role -> CPU -> next role -> switches; ANY_CPU has those of all CPUs."""
    rows: dict[str, dict[int, dict[str, int]]] = {}
    for (cpu, prev, next_), count in rates.pairs.items():
        # A task never switched to has no role; a self-switch is a fault of the recording.
        if prev in roles and prev != next_:
            next_role = LAST if next_ == BACK else roles[next_]
            for where in (cpu, ANY_CPU):
                row = rows.setdefault(roles[prev], {}).setdefault(where, {})
                row[next_role] = row.get(next_role, 0) + count
    return rows


def _add_task(profile: Profile, role: str, like: Task, rates: TaskRates, mms: dict[int, int]) -> None:
    """A task with the state of *like*, on the CPU where that ran most."""
    if like.mm and like.mm not in mms:
        mms[like.mm] = profile.mm()
    profile.task(
        role,
        role,
        mm=mms.get(like.mm, 0),
        cpu=max(rates.cpus, key=lambda cpu: (rates.cpus[cpu], -cpu)),
        tls=like.tls,
        ldt=like.ldt,
        iopl=like.iopl,
        dr=like.dr,
        io_bitmap=like.io_bitmap,
        notsc=like.notsc,
        gs=like.gs,
        blockstep=like.blockstep,
    )


def _sum(parts: list[TaskRates]) -> TaskRates:
    if len(parts) == 1:
        return parts[0]
    total = TaskRates()
    for part in parts:
        total.slices += part.slices
        total.fpu_slices += part.fpu_slices
        total.run_ns += part.run_ns
        total.runs += part.runs
        for kind, count in part.counts.items():
            total.counts[kind] += count
    return total


def _slice_ns(rates: TaskRates) -> tuple[int, int]:
    mean = rates.run_ns // rates.runs if rates.runs else 0
    return (0, min(2 * mean, SLICE_MAX_NS))


def _acts(rates: TaskRates, idle: bool) -> list[Act]:
    """What happens in a slice, each kind with the recording's mean."""
    slices = max(1, rates.slices)
    acts = []
    if rates.fpu_slices:
        acts.append(Act(Kind.FPU, min(ALWAYS, rates.fpu_slices * ALWAYS // slices)))
    sections = rates.counts[Kind.ENTER_MMU]
    if sections:
        acts.append(
            _mean_act(SECTION, sections, slices, (1, max(1, 2 * rates.counts[Kind.SET_PTE] // sections - 1)))
        )
    for kind, act in ((Kind.FAULT_ENTER, FAULT), (Kind.IRQ_ENTER, IRQ)):
        if rates.counts[kind]:
            acts.append(_mean_act(act, rates.counts[kind], slices, (1, 1)))
    if idle and rates.counts[Kind.FLUSH_IPI]:
        acts.append(_mean_act(Kind.FLUSH_IPI, rates.counts[Kind.FLUSH_IPI], slices, (0, 0)))
    return acts


def _mean_act(kind: int, count: int, slices: int, arg: tuple[int, int]) -> Act:
    """An act that happens *count* times in *slices* slices on average, at most 64 times in one."""
    if count <= slices:
        return Act(kind, count * ALWAYS // slices, (1, 1), arg)
    return Act(kind, ALWAYS, (1, min(64, max(1, 2 * count // slices - 1))), arg)


def compare(rates: Rates, profile: Profile, seed: int) -> list[tuple[str, float, float]]:
    """(what, in the recording, in a synthetic trace of at most 100,000 switches)."""
    made = measure(SynthTrace(profile, "like", switches=min(rates.switches, SAMPLE_SWITCHES), seed=seed))
    popular = max((task.slices for number, task in rates.tasks.items() if number), default=0)
    popular_made = max((task.slices for number, task in made.tasks.items() if number), default=0)
    return [
        ("switches a second", rates.switches_per_second(), made.switches_per_second()),
        ("to idle, % of switches", 100 * rates.to_idle / rates.switches, 100 * made.to_idle / made.switches),
        (
            "mm differs, % of switches",
            100 * rates.mm_differs / rates.switches,
            100 * made.mm_differs / made.switches,
        ),
        (
            "most popular task, % of switches",
            100 * popular / rates.switches,
            100 * popular_made / made.switches,
        ),
        ("FPU used, % of slices", 100 * rates.fpu_share(), 100 * made.fpu_share()),
    ]
