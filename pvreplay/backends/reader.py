"""Backend files: TOML in, a :class:`Backend` resolved for one kernel out.

A backend is named

    NAME                built in: native, vmi, xen, lguest, kvm
    NAME-unbatched      lazy modes are entered and left, but every entry is a hypercall of its own
    NAME-nolazy         lazy modes are never entered; what an op batches by itself stays one batch
    NAME:PROFILE        vmi with another ROM profile, e.g. vmi:spec2006
    PATH.toml           a file of your own

A file gives ``name``, ``title``, ``since`` and ``until`` (the kernels that had
it), ``description``, ``sources``, ``notes`` and rows: ``[[setting]]``,
``[[queue]]``, ``[[mode]]``, ``[[profile]]``, ``[[op]]``
(:mod:`pvreplay.backends.schema`, :mod:`pvreplay.machine.backend`).  Of several
rows of one name the one whose ``since`` .. ``until`` (both inclusive) and
``arch`` fit the kernel holds.  An op without a row costs nothing.  With
``extends = "xen"`` the file's rows come before those of the file it extends.

A kernel older than the backend gets its earliest rows, a newer one its last,
and the backend's notes say so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

from pvreplay.backends.schema import FILE, BackendFile, Setting, read, refusal
from pvreplay.errors import ConfigError, UsageError
from pvreplay.machine import resources as res
from pvreplay.machine.backend import Backend, Event, Form, ModeRow, OpRow, RomProfile
from pvreplay.machine.ops import OPS
from pvreplay.machine.queue import QueueSpec

BASE_BACKENDS: Final = ("native", "vmi", "xen", "lguest", "kvm")
DEFERRING: Final = ("vmi", "xen", "lguest", "kvm")
"""Those that batch, and so have the two baselines."""
FORMS: Final[tuple[Form, ...]] = ("unbatched", "nolazy")
FORM_TITLES: Final[dict[Form, str]] = {
    "": "",
    "unbatched": "baseline: lazy modes are entered, but every entry is a hypercall of its own",
    "nolazy": "baseline: lazy modes are never entered; what an op batches by itself stays one batch",
}
_FOLDER: Final = os.path.dirname(os.path.abspath(__file__))


class KernelLike(Protocol):
    """What selects the rows: a :class:`pvreplay.kernels.model.Kernel`."""

    name: str
    version: tuple[int, ...]
    arch: Any
    irq_ignores_lazy: bool


Row = Setting | QueueSpec | ModeRow | OpRow
R = TypeVar("R", Setting, QueueSpec, ModeRow, OpRow)
N = TypeVar("N", str, Event)


def builtin_backends() -> list[str]:
    """The names of the built-in backends, the plain ones first."""
    return [*BASE_BACKENDS, *(f"{name}-{form}" for name in DEFERRING for form in FORMS)]


def load_backend(spec: str, kernel: KernelLike) -> Backend:
    """Read a backend and resolve it for *kernel*.

    Raises :class:`UsageError` for an unknown name or a missing file,
    :class:`ConfigError` for a file that cannot be used.
    """
    base, form = _split_form(spec)
    stem, _, profile_name = base.partition(":") if not base.endswith(".toml") else (base, "", "")
    path = _locate(stem)
    layers = _read_chain(path, 0)
    return _resolve(spec, form, profile_name, path, layers, kernel)


def _split_form(spec: str) -> tuple[str, Form]:
    for form in FORMS:
        if spec.endswith(f"-{form}"):
            return spec[: -len(form) - 1], form
    return spec, ""


def _locate(name: str, folder: str = os.curdir) -> str:
    if name in BASE_BACKENDS:
        return os.path.join(_FOLDER, name + ".toml")
    path = os.path.join(folder, name)
    if name.endswith(".toml") or os.path.isfile(path):
        return os.path.normpath(path)
    raise UsageError(
        f"unknown backend {name!r}",
        f"Known: {', '.join(BASE_BACKENDS)}, NAME-unbatched, NAME-nolazy, vmi:PROFILE; or a .toml file.",
    )


def _read_chain(path: str, depth: int) -> list[BackendFile]:
    """The file at *path*, then those it extends, nearest first."""
    file = read(path, FILE.content(path, BASE_BACKENDS))
    _check_ops(path, file)
    if not file.extends:
        file.name = file.name or os.path.basename(path).removesuffix(".toml")
        return [file]
    FILE.parent(path, depth)
    try:
        parent = _locate(file.extends, os.path.dirname(path))
    except UsageError as error:
        raise ConfigError(f"{path}: extends: {error.message}", error.hint) from None
    file.name = file.name or os.path.basename(path).removesuffix(".toml")
    return [file, *_read_chain(parent, depth + 1)]


def _check_ops(path: str, file: BackendFile) -> None:
    for number, row in enumerate(file.op):
        name = row.name.partition(":")[0]
        if name not in OPS or OPS[name].kind != "op":
            known = ", ".join(op.name for op in OPS.values() if op.kind == "op")
            raise ConfigError(f"{path}: op[{number}].name: no op {row.name!r}", f"Known: {known}.")
        if row.does == "queue" and not row.mode:
            raise refusal(
                f"{path}: op[{number}] ({row.name}).mode", 'a queued op names its modes: ["cpu"], ["mmu"]'
            )
        if isinstance(row.entries, int) and not 1 <= row.entries <= 32:
            raise refusal(
                f"{path}: op[{number}] ({row.name}).entries", f"found {row.entries}, expected 1 to 32"
            )
        if row.arg_bytes < 0:
            raise refusal(f"{path}: op[{number}] ({row.name}).arg_bytes", f"found {row.arg_bytes}")


# --- versions ------------------------------------------------------------------------------------------


def _version(where: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        raise refusal(where, f"found {text!r}, expected a version like 2.6.24") from None


def _fits(row: Row, version: tuple[int, ...], where: str) -> bool:
    if row.since and version < _version(where, row.since):
        return False
    if row.until:
        until = _version(where, row.until)
        return version[: len(until)] <= until
    return True


def _pick(where: str, layers: Sequence[Sequence[R]], version: tuple[int, ...], arch: str) -> R | None:
    """The row that holds for *version*: of the nearest layer with one that fits.

    Rows that name an architecture go before those that do not.  When none fits
    (a gap between two trees, or before the first) it is the nearest older row
    of the last layer, or its earliest.
    """
    known: list[R] = []
    for rows in layers:
        known = [row for row in rows if getattr(row, "arch", "") in ("", arch)]
        known.sort(key=lambda row: not getattr(row, "arch", ""))
        for row in known:
            if _fits(row, version, where):
                return row
    dated = [(_version(where, row.since) if row.since else (), row) for row in known]
    older = [pair for pair in dated if pair[0] <= version]
    if older:
        return max(older, key=lambda pair: pair[0])[1]
    return min(dated, key=lambda pair: pair[0])[1] if dated else None


# --- resolving --------------------------------------------------------------------------------------------


def _resolve(
    spec: str, form: Form, profile_name: str, path: str, layers: list[BackendFile], kernel: KernelLike
) -> Backend:
    top = layers[0]
    version, version_note = _clamp(path, top.name, layers, kernel)
    notes = [version_note] if version_note else []

    def pick(rows: Sequence[Sequence[R]]) -> R | None:
        return _pick(path, rows, version, kernel.arch)

    rows: dict[str, OpRow] = {}
    for name, choice in _by_name(layers, lambda layer: ((row.name, row) for row in layer.op)).items():
        op = pick(choice)
        if op is not None:
            rows[name] = op
    modes: dict[Event, ModeRow] = {}
    for event, kinds in _by_name(layers, lambda layer: ((row.event, row) for row in layer.mode)).items():
        mode = pick(kinds)
        if mode is not None:
            modes[event] = mode
    queue = pick([layer.queue for layer in layers]) or QueueSpec(kind="none")

    def setting(name: str, default: Any) -> Any:
        row = pick([[row for row in layer.setting if row.name == name] for layer in layers])
        return default if row is None else row.value

    profiles = {one.name: one for layer in reversed(layers) for one in layer.profile}
    profile = _profile(spec, path, profile_name, layers, profiles, rows)
    kernel_rpl = profile.kernel_rpl if profile is not None else setting("kernel_rpl", 0)
    irq = setting("irq_ignores_lazy", "kernel")
    title = top.title or (layers[-1].title if len(layers) > 1 else "")
    name = top.name if spec.endswith(".toml") or os.path.sep in spec else spec
    if form and not name.endswith(form):
        name = f"{name}-{form}"
    if profile is not None:
        notes.insert(
            0,
            f"which ROM calls cross is ROM profile {profile.name!r}, an assumption: "
            f"pvreplay backends --show {spec.removesuffix(f'-{form}')}",
        )
    if form:
        notes.insert(0, FORM_TITLES[form])
    return Backend(
        name=name,
        base=layers[-1].name,
        form=form,
        title=f"{title}; {FORM_TITLES[form]}" if form else title,
        description=next((layer.description for layer in layers if layer.description), "").strip(),
        queue=queue,
        modes=modes,
        rows=rows,
        profile=profile,
        profiles=tuple(profiles),
        traits={"kernel_rpl": int(kernel_rpl)},
        implicit=_implicit(path, setting("implicit", []), int(kernel_rpl)),
        reloads_selectors=bool(setting("reloads_selectors", False)),
        irq_ignores_lazy=kernel.irq_ignores_lazy if irq == "kernel" else bool(irq),
        rows_version=".".join(map(str, version)),
        notes=tuple(notes),
        file_notes=tuple(note for layer in layers for note in layer.notes),
        sources=tuple(source for layer in layers for source in layer.sources),
        path=path,
    )


def _by_name(
    layers: list[BackendFile], rows_of: Callable[[BackendFile], Iterable[tuple[N, R]]]
) -> dict[N, list[list[R]]]:
    """The rows of each name, layer by layer; names in the order of the alphabet."""
    found: dict[N, list[list[R]]] = {}
    for number, layer in enumerate(layers):
        for name, row in rows_of(layer):
            found.setdefault(name, [[] for _ in layers])[number].append(row)
    return dict(sorted(found.items()))


def _clamp(
    path: str, name: str, layers: list[BackendFile], kernel: KernelLike
) -> tuple[tuple[int, ...], str]:
    """The version whose rows are used, and the note to give when it is not the kernel's own."""
    since = next((layer.since for layer in layers if layer.since), "")
    until = next((layer.until for layer in layers if layer.until), "")
    version = kernel.version
    if since and version < _version(f"{path}: since", since):
        return _version(path, since), (
            f"{name} entered the kernel in {since}; {kernel.name} is older and priced by its rows of {since}."
        )
    if until and version[: len(_version(f"{path}: until", until))] > _version(path, until):
        return _version(path, until), (
            f"{name} is not in kernels after {until}; {kernel.name} is priced by its last rows."
        )
    return version, ""


def _implicit(path: str, names: Any, kernel_rpl: int) -> int:
    # The flags pop of switch_to() restores IOPL at CPL 0 (Linux v2.6.21 include/asm-i386/system.h:18-29).
    mask = 0 if kernel_rpl else res.IOPL
    for name in names if isinstance(names, list) else [names]:
        bit = res.lookup(str(name))
        if bit is None:
            raise ConfigError(
                f"{path}: setting (implicit): no resource {name!r}", f"Known: {', '.join(res.NAMES)}."
            )
        mask |= bit
    return mask


def _profile(
    spec: str,
    path: str,
    wanted: str,
    layers: list[BackendFile],
    profiles: dict[str, RomProfile],
    rows: dict[str, OpRow],
) -> RomProfile | None:
    if wanted:
        if wanted not in profiles:
            raise UsageError(
                f"backend {spec!r}: no ROM profile {wanted!r}",
                f"Profiles: {', '.join(profiles)}."
                if profiles
                else "This backend has no ROM, hence no profiles.",
            )
        return profiles[wanted]
    uses_rom = any(row.does == "rom" for row in rows.values())
    for layer in layers:
        for profile in layer.profile:
            if profile.default:
                return profile
    if uses_rom:
        raise refusal(f"{path}: profile", 'ops that do "rom" need a [[profile]] with default = true')
    return None
