"""Two switch paths: which steps moved, came, went or changed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from pvreplay.gate.entry import PathStep

_ENTER = frozenset({"enter_lazy_cpu", "start_context_switch"})
_LEAVE = frozenset({"leave_lazy_cpu", "end_context_switch"})


def step_changes(old: Sequence[PathStep], new: Sequence[PathStep]) -> dict[str, str]:
    """Step name -> what happened to it, in the order of *new*, dropped steps last.

    What only follows from a moved end of the batch comes after everything else.
    """
    before = {step.step: step for step in old}
    after = {step.step: step for step in new}
    if not before:
        return {}
    names = [step.step for step in new]
    common_old = [step.step for step in old if step.step in after]
    common_new = [name for name in names if name in before]
    stayed = _in_order(common_old, common_new)
    batched_old, batched_new = _batched(old), _batched(new)
    edges = [
        step.step for step in new if set(step.ops.split()) & (_ENTER | _LEAVE) and step.step not in stayed
    ]
    because = f": {' and '.join(edges)} moved" if edges else ""
    changes: dict[str, str] = {}
    for index, name in enumerate(names):
        told = []
        if name not in before:
            told.append(f"added{_after(names, index)}, with {after[name].ops or 'no op'}")
        else:
            told += _edited(before[name], after[name])
            if name not in stayed:
                told.append(f"moved: now{_after(names, index)}{_was(common_old, name)}")
            if (name in batched_old) != (name in batched_new):
                what = "now in the batch" if name in batched_new else "no longer in the batch"
                told.append(what if name not in stayed else what + because)
        if told:
            changes[name] = "; ".join(told)
    for step in old:
        if step.step not in after:
            changes[step.step] = f"dropped, with {step.ops or 'no op'}"
    follows = [name for name, told in changes.items() if edges and told.endswith(because)]
    return {name: changes[name] for name in [*(name for name in changes if name not in follows), *follows]}


def steps_of(op: str, path: Sequence[PathStep]) -> list[PathStep]:
    """The steps of *path* that run *op* (a name without operand)."""
    return [step for step in path if any(word.partition(":")[0] == op for word in step.ops.split())]


def _in_order(old: list[str], new: list[str]) -> set[str]:
    """The names that kept their order; the others moved."""
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return {name for block in blocks for name in old[block.a : block.a + block.size]}


def _edited(old: PathStep, new: PathStep) -> list[str]:
    told = []
    if old.ops != new.ops:
        told.append(f"now {new.ops or 'no op'}, was {old.ops or 'no op'}")
    if old.when != new.when:
        told.append(f"now when {new.when or 'true'}, was {old.when or 'true'}")
    return told


def _after(names: Sequence[str], index: int) -> str:
    return f" after {names[index - 1]}" if index else " first"


def _was(names: Sequence[str], name: str) -> str:
    index = names.index(name)
    return f", was{_after(names, index)}"


def _batched(path: Sequence[PathStep]) -> set[str]:
    """The steps between entering and leaving lazy CPU mode."""
    inside: set[str] = set()
    on = False
    for step in path:
        words = set(step.ops.split())
        if words & _LEAVE:
            on = False
        elif words & _ENTER:
            on = True
        elif on:
            inside.add(step.step)
    return inside
