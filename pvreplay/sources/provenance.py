"""Where each piece of recovered state came from, for the report."""

from __future__ import annotations

from pvreplay.sources import _recover_cy as loop
from pvreplay.sources import records as r
from pvreplay.sources.births import Births
from pvreplay.sources.calls import Calls
from pvreplay.sources.tables import Tables
from pvreplay.trace.model import Origin


def describe_state(
    tables: Tables, births: Births, calls: Calls, assume: dict[str, str], execs: bool
) -> dict[str, Origin]:
    """An Origin for every key of STATE_KEYS, from what recovery used."""

    def count(kind: int) -> int:
        return tables.ctl[loop.C_COUNTS + kind]

    def by_call(names: tuple[str, ...], otherwise: str, option: str = "") -> Origin:
        used = [f"{name} ({calls.seen[name]})" for name in names if name in calls.seen]
        if used:
            return Origin("derived", "system calls that succeeded: " + ", ".join(used))
        return Origin("assumed", otherwise, option)

    state = {
        "mm": _mm(births, assume, execs),
        "fpu": _fpu(count(r.FPU_DEACTIVATED) + count(r.FPU_ACTIVATED), assume["fpu"]),
        "tls": by_call(("set_thread_area",), "empty slots", "--assume tls=per-task"),
        "ldt": by_call(("modify_ldt",), "no LDT"),
        "iopl": by_call(("iopl",), "0"),
        "io_bitmap": by_call(("ioperm",), "none"),
        "dr": by_call(("ptrace DR7",), "no breakpoints (those of perf_event_open cannot be told)"),
        "notsc": by_call(("prctl", "seccomp"), "TSC readable"),
        "gs": by_call(("set_thread_area",), "no selector in the user segment", "--assume tls=per-task"),
        "blockstep": by_call(("ptrace block step",), "off"),
        "lazy_tlb": Origin("assumed", "no flush reaches a CPU in lazy TLB mode"),
        "lazy_mmu": Origin("assumed", "no lazy MMU section: a scheduler trace shows none"),
    }
    if assume["tls"] == "per-task":
        state["tls"] = Origin(
            "assumed", "a descriptor of its own in slot 0 of every user task", "--assume tls=none"
        )
        state["gs"] = Origin("assumed", "every user task has a TLS selector in %gs", "--assume tls=none")
    if count(r.TLB_FLUSH):
        state["lazy_tlb"] = Origin(
            "observed", "tlb_flush (remote shootdown); the recorded kernel may spare lazy CPUs the interrupt"
        )
    return state


def _mm(births: Births, assume: dict[str, str], execs: bool) -> Origin:
    known = {how: n for how, n in births.tally.items() if how not in Births.ASSUMED}
    guessed = {how: n for how, n in births.tally.items() if how in Births.ASSUMED}
    exec_note = ("sched_process_exec",) if execs else ()
    evidence = ", ".join([f"{how} ({n})" for how, n in sorted(known.items())] + list(exec_note))
    if not guessed:
        return Origin("derived", evidence or "no task but idle")
    total = sum(births.tally.values())
    told = ", ".join(f"{how} ({n})" for how, n in sorted(guessed.items()))
    source = f"{sum(guessed.values())} of {total} tasks: {told}"
    if evidence:
        source += f"; the others from {evidence}"
    options = [f"--assume mm={'per-comm' if assume['mm'] != 'per-comm' else 'per-task'}"]
    if "name" in guessed:
        options.append("--assume kthreads=none")
    if "fork" in guessed:
        options.append("--assume fork=thread")
    return Origin("assumed", source, ", ".join(options))


def _fpu(events: int, rule: str) -> Origin:
    if rule != "seen":
        meaning = {
            "never": "no task",
            "user": "every user task, in every slice",
            "always": "every task but idle",
        }
        return Origin("assumed", f"FPU used by: {meaning[rule]}", "--assume fpu=seen")
    if events:
        return Origin(
            "derived",
            f"x86_fpu events ({events}): a task whose saved registers held FP state uses the FPU in "
            "every slice",
            "--assume fpu=never",
        )
    return Origin("assumed", "no x86_fpu events: no task uses the FPU", "--assume fpu=user")
