"""``[[change]]`` entries: move, add, drop, re-guard or replace steps of another kernel."""

from __future__ import annotations

from typing import Final, cast

from pvreplay.errors import ConfigError
from pvreplay.kernels import checks
from pvreplay.kernels.schema import ChangeFile, StepFile, refusal

_KEYS: Final = ("before", "after", "when", "ops", "source", "note")

_ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "move": ("before", "after", "source", "note"),
    "add": ("before", "after", "when", "ops", "source", "note"),
    "drop": ("source", "note"),
    "guard": ("when", "source", "note"),
    "replace": ("ops", "when", "source", "note"),
}
_NEEDED: Final = {"add": "ops", "guard": "when", "replace": "ops"}
_DONE: Final = {"move": "moved", "guard": "guard changed", "replace": "ops replaced"}


def apply_changes(path: str, parent: list[StepFile], changes: list[ChangeFile]) -> list[StepFile]:
    """The steps of *parent* after *changes*, in their order.

    Raises :class:`ConfigError` with file, key and the steps there are.
    """
    steps = list(parent)
    for number, change in enumerate(changes):
        _apply(f"{path}: change[{number}]", steps, change)
    return steps


def _apply(where: str, steps: list[StepFile], change: ChangeFile) -> None:
    verb = _verb(where, change)
    name = cast(str, getattr(change, verb))
    _check_keys(where, change, verb)
    if change.when is not None:
        checks.guard(f"{where}.when", change.when, {"iopl_policy": "true"})
    if change.ops is not None:
        checks.ops(f"{where}.ops", change.ops)
    if verb == "add":
        if any(step.name == name for step in steps):
            raise refusal(f"{where}.add", f"there is a step {name!r} already; choose another name")
        new = StepFile(
            name, change.when or "true", change.ops or [], change.source or "", change.note or "added"
        )
        steps.insert(_place(where, steps, change), new)
        return
    index = _index(f"{where}.{verb}", steps, name)
    if verb == "drop":
        del steps[index]
    elif verb == "move":
        if name in (change.before, change.after):
            raise refusal(f"{where}.move", f"{name!r} cannot be moved next to itself")
        step = steps.pop(index)
        steps.insert(_place(where, steps, change), _changed(step, change, verb))
    else:
        steps[index] = _changed(steps[index], change, verb)


def _verb(where: str, change: ChangeFile) -> str:
    verbs = [verb for verb in _ALLOWED if getattr(change, verb) is not None]
    if len(verbs) != 1:
        found = " and ".join(verbs) if verbs else "none"
        raise ConfigError(f"{where}: needs one verb, found {found}", f"Allowed: {', '.join(_ALLOWED)}.")
    return verbs[0]


def _check_keys(where: str, change: ChangeFile, verb: str) -> None:
    given = [key for key in _KEYS if getattr(change, key) is not None]
    for key in given:
        if key not in _ALLOWED[verb]:
            raise ConfigError(
                f"{where}.{key}: does not go with {verb}", f"Allowed with it: {', '.join(_ALLOWED[verb])}."
            )
    needed = _NEEDED.get(verb)
    if needed and needed not in given:
        raise refusal(f"{where}.{needed}", f"the key is missing, {verb} needs it")
    if "before" in _ALLOWED[verb] and (change.before is None) == (change.after is None):
        raise refusal(where, f"{verb} needs a place: before or after a step, one of the two")


def _changed(step: StepFile, change: ChangeFile, verb: str) -> StepFile:
    note = f"{step.note} ({_DONE[verb]})" if step.note else _DONE[verb]
    return StepFile(
        step.name,
        step.when if change.when is None else change.when,
        step.ops if change.ops is None else change.ops,
        step.source if change.source is None else change.source,
        note if change.note is None else change.note,
    )


def _place(where: str, steps: list[StepFile], change: ChangeFile) -> int:
    if change.before is not None:
        return _index(f"{where}.before", steps, change.before)
    return _index(f"{where}.after", steps, cast(str, change.after)) + 1


def _index(where: str, steps: list[StepFile], name: str) -> int:
    for index, step in enumerate(steps):
        if step.name == name:
            return index
    raise ConfigError(f"{where}: no step {name!r}", f"Steps: {', '.join(step.name for step in steps)}.")
