"""Random lives of a simulated guest's tasks."""

from __future__ import annotations

from random import Random

from tests.sim_guest import CLONE_SETTLS, CLONE_THREAD, CLONE_VM, Cpu, Guest, Task

STATES = [
    *("tls", "same_tls", "ldt", "iopl", "iopl1", "ioperm", "ioperm_off", "tsc"),
    *("step", "debug", "threads", "shared", "exec", "munmap", "between"),
]


def live(guest: Guest, rng: Random, steps: int, states: set[str]) -> None:
    """Some tasks fork, set state, run and end, at random; *states* are the ones that may happen."""
    shell = guest.old("sh")
    guest.old("daemon")
    guest.old("kworker/0:1", kthread=True, pid=17)
    guest.old("ksoftirqd/0", kthread=True, pid=14)
    for _ in range(steps):
        cpu = rng.choice(guest.cpus)
        task = cpu.current
        if task.mm is not None and rng.random() < 0.55:
            _act(guest, cpu, task, rng, states, shell)
        ready = [each for each in guest.tasks if each.on < 0] + [cpu.idle] * (task is not cpu.idle)
        if not ready or rng.random() < 0.2:
            continue
        following = cpu.idle if cpu.idle in ready and rng.random() < 0.35 else rng.choice(ready)
        guest.switch(cpu, following)
        if following.mm is not None and rng.random() < 0.93:
            guest.user(cpu)


def _act(guest: Guest, cpu: Cpu, task: Task, rng: Random, states: set[str], shell: Task) -> None:
    guest.user(cpu)
    roll = rng.choice(["fork", "exit", "busy", *sorted(states), *sorted(states)])
    if roll == "fork" and len(guest.tasks) < 14:
        guest.clone(cpu, comm=f"p{guest._pid}"[:15])
    elif roll == "threads" and len(guest.tasks) < 14:
        if guest.compat and not task.tls[0]:
            guest.set_thread_area(cpu, 0x8000)  # as libc does when a program begins
        flags = CLONE_VM | CLONE_THREAD | (CLONE_SETTLS if rng.random() < 0.7 else 0)
        guest.clone(cpu, flags)
    elif roll == "shared" and len(guest.tasks) < 14:
        guest.clone(cpu, CLONE_VM)
    elif roll == "exit" and task is not shell and len(guest.tasks) > 5:
        others = [each for each in guest.tasks if each.on < 0]
        between = rng.choice(others) if others and "between" in states and rng.random() < 0.5 else None
        others = [each for each in others if each is not between]
        guest.exit(cpu, rng.choice([*others, cpu.idle]), between=between)
    elif roll == "exec" and not guest.threads_of(task):
        guest.exec(cpu, f"x{len(guest.lines)}")
    elif roll == "munmap":
        guest.munmap(cpu)
    elif roll == "tls":
        guest.set_thread_area(cpu, 0x2000 + rng.randrange(1 << 20))
    elif roll == "same_tls":
        guest.set_thread_area(cpu, 0x2000, 0)
    elif roll == "ldt":
        guest.modify_ldt(cpu, rng.choice([0, 0, 4294967274]))
    elif roll == "iopl":
        guest.iopl_call(cpu, rng.choice([0, 3]))
    elif roll == "iopl1":
        guest.iopl_call(cpu, rng.choice([1, 2]))
    elif roll == "ioperm":
        guest.ioperm(cpu, 0x80, 2, True)
    elif roll == "ioperm_off":
        guest.ioperm(cpu, 0x80, rng.choice([1, 2, 4]), False)
    elif roll == "tsc":
        guest.tsc(cpu, rng.random() < 0.6)
    elif roll in ("step", "debug"):
        stopped = [each for each in guest.tasks if each.on < 0 and each.mm is not None]
        if stopped:
            (guest.singleblock if roll == "step" else guest.debugreg)(cpu, rng.choice(stopped))
