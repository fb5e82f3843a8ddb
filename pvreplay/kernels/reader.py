"""Kernel files: TOML in, a checked :class:`Kernel` out.

A file of its own gives everything::

    name = "2.6.21"                # what reports call it; default: the file's name
    title = "one line"
    arch = "i386"                  # i386 | x86-64
    version = [2, 6, 21]           # orders kernels, selects the rows of a backend
    iopl = "merged"                # posted | merged | never: what iopl_policy stands for
    user_segment = "gs"            # the register a user selector is saved from: fs | gs
    parks = false                  # lazy MMU mode is left and parked at a switch
    irq_ignores_lazy = false       # ops in an interrupt are never queued
    lazy_mmu = true                # arch_enter_lazy_mmu_mode() does something
    nm = ["read_cr0", "clts", "fpu_restore"]
    leave_mm = ["write_cr3"]
    sources = ["..."]
    notes = ["..."]
    uncertain = ["..."]            # where the sources leave a gap

    [fpu]
    model = "lazy"                 # lazy | none
    eager_above = 5                # eager restore when fpu_counter is above this
    eager_needs_used_math = false
    reset_on_exec = false

    [[step]]                       # in the order of the path
    name = "load_tls"
    when = "true"                  # a guard, see pvreplay.kernels.guard; default true
    ops = ["load_tls"]             # name or name:operand; may be empty
    source = "..."
    note = "..."

A file may instead extend another, a built-in name or a path relative to
itself, override any key above but ``step``, and change steps, in order::

    extends = "2.6.21"

    [[change]]
    move = "set_iopl"              # after = or before = another step
    after = "leave_lazy_cpu"
    [[change]]
    add = "my_step"                # with ops, and when, source, note if you like
    ops = ["write_cr3"]
    before = "load_tls"
    [[change]]
    drop = "disable_tsc"
    [[change]]
    guard = "load_tls"             # another guard
    when = "tls"
    [[change]]
    replace = "unlazy_fpu"         # other ops
    ops = ["fpu_save", "write_cr0"]
"""

from __future__ import annotations

import os
from typing import Final, TypeVar, cast, get_args

from pvreplay.errors import ConfigError, UsageError
from pvreplay.kernels import checks
from pvreplay.kernels.changes import apply_changes
from pvreplay.kernels.model import IOPL_GUARDS, Arch, FpuRules, Iopl, Kernel, Step
from pvreplay.kernels.schema import FILE, FpuFile, KernelFile, read, refusal

T = TypeVar("T")

DEFAULT_KERNEL: Final = "2.6.21"

_BUILTIN: Final = (
    "2.6.20",
    "seed",
    "2.6.21",
    "2.6.24",
    "2.6.27",
    "2.6.30",
    "2.6.31",
    "2.6.32",
    "2.6.35",
    "3.1",
    "4.13",
    "5.17",
    "6.1",
)
_FOLDER: Final = os.path.dirname(os.path.abspath(__file__))


def builtin_kernels() -> list[str]:
    """The names of the built-in kernels, oldest first."""
    return list(_BUILTIN)


def load_kernel(spec: str, *, iopl: str | None = None) -> Kernel:
    """Read a kernel: *spec* is a built-in name or the path of a TOML file.

    *iopl* (posted, merged or never) overrides the policy of the file.  Raises
    :class:`UsageError` for an unknown name or a missing file,
    :class:`ConfigError` for a file that cannot be used.
    """
    path = _locate(spec, os.curdir)
    merged = _read_chain(path, 0)
    if iopl is not None:
        merged.iopl = iopl
    return _build(merged, path, "--iopl" if iopl is not None else f"{path}: iopl")


def _locate(spec: str, folder: str) -> str:
    if spec in _BUILTIN:
        return os.path.join(_FOLDER, spec + ".toml")
    path = os.path.join(folder, spec)
    if spec.endswith(".toml") or os.path.exists(path):
        return os.path.normpath(path)
    raise UsageError(
        f"unknown kernel {spec!r}", f"Known: {', '.join(_BUILTIN)}; or give the path of a .toml file."
    )


def _read_chain(path: str, depth: int) -> KernelFile:
    """The file at *path* with everything it extends merged into it."""
    file = read(path, FILE.content(path, _BUILTIN))
    if file.extends is None:
        if file.change:
            raise refusal(f"{path}: change", 'no kernel to change; add extends = "2.6.21"')
        if file.name is None:
            file.name = os.path.basename(path).removesuffix(".toml")
        return file
    if file.step:
        raise refusal(f"{path}: step", "a file with extends changes steps with [[change]]")
    FILE.parent(path, depth)
    try:
        parent_path = _locate(file.extends, os.path.dirname(path))
    except UsageError as error:
        raise ConfigError(f"{path}: extends: {error.message}", error.hint) from None
    parent = _read_chain(parent_path, depth + 1)
    steps = apply_changes(path, parent.step, file.change)
    merged = KernelFile(fpu=_overlay(FpuFile(), parent.fpu, file.fpu), step=steps)
    merged.name = file.name or os.path.basename(path).removesuffix(".toml")
    merged.title = file.title or f"{parent.name}, changed by {os.path.basename(path)}"
    for key in (
        "arch",
        "version",
        "released",
        "iopl",
        "user_segment",
        "parks",
        "irq_ignores_lazy",
        "lazy_mmu",
        "nm",
        "leave_mm",
    ):
        own = getattr(file, key)
        setattr(merged, key, getattr(parent, key) if own is None else own)
    for key in ("sources", "notes", "uncertain"):
        setattr(merged, key, [*getattr(parent, key), *getattr(file, key)])
    return merged


def _overlay(target: FpuFile, *layers: FpuFile) -> FpuFile:
    for layer in layers:
        for key in FpuFile.__struct_fields__:
            if getattr(layer, key) is not None:
                setattr(target, key, getattr(layer, key))
    return target


# --- checks and construction --------------------------------------------------


def _build(file: KernelFile, path: str, iopl_where: str) -> Kernel:
    arch = _one_of(f"{path}: arch", file.arch, get_args(Arch))
    iopl = cast(Iopl, _one_of(iopl_where, file.iopl, get_args(Iopl)))
    model = _one_of(f"{path}: fpu.model", file.fpu.model, ("lazy", "none"))
    version = tuple(_needed(f"{path}: version", file.version))
    if not version or min(version) < 0:
        raise refusal(f"{path}: version", f"found {list(version)}, expected numbers like [2, 6, 21]")
    if not file.step:
        raise refusal(f"{path}: step", "a kernel needs at least one [[step]]")
    # A built-in file's ops were checked by the tests; a run need not import the machine for it.
    trusted = os.path.dirname(path) == _FOLDER
    steps = _steps(path, file, iopl, iopl_where, trusted)
    eager_above = _needed(f"{path}: fpu.eager_above", file.fpu.eager_above) if model == "lazy" else 0
    if not 0 <= eager_above <= 255:
        raise refusal(f"{path}: fpu.eager_above", f"found {eager_above}, expected 0 to 255")
    nm_ops = _needed(f"{path}: nm", file.nm)
    leave_mm_ops = _needed(f"{path}: leave_mm", file.leave_mm)
    return Kernel(
        name=cast(str, file.name),
        title=file.title or "",
        arch=cast(Arch, arch),
        version=version,
        released=file.released or "",
        steps=steps,
        fpu=FpuRules(
            model="lazy" if model == "lazy" else "none",
            eager_above=eager_above,
            eager_needs_used_math=bool(file.fpu.eager_needs_used_math),
            reset_on_exec=bool(file.fpu.reset_on_exec),
            drop_on_exit=bool(file.fpu.drop_on_exit),
        ),
        parks=_needed(f"{path}: parks", file.parks),
        irq_ignores_lazy=_needed(f"{path}: irq_ignores_lazy", file.irq_ignores_lazy),
        lazy_mmu=_needed(f"{path}: lazy_mmu", file.lazy_mmu),
        iopl=iopl,
        user_segment=_one_of(f"{path}: user_segment", file.user_segment, ("fs", "gs")),
        nm_ops=tuple(nm_ops) if trusted else checks.ops(f"{path}: nm", nm_ops),
        leave_mm_ops=tuple(leave_mm_ops) if trusted else checks.ops(f"{path}: leave_mm", leave_mm_ops),
        sources=tuple(file.sources),
        notes=tuple(file.notes),
        uncertain=tuple(file.uncertain),
        path=path,
    )


def _steps(path: str, file: KernelFile, iopl: Iopl, iopl_where: str, trusted: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    seen: set[str] = set()
    macros = {"iopl_policy": IOPL_GUARDS[iopl]}
    has_policy = False
    for number, entry in enumerate(file.step):
        where = f"{path}: step[{number}] ({entry.name})"
        if entry.name in seen:
            raise refusal(where, "a step of this name came before; names are unique")
        seen.add(entry.name)
        if "iopl_policy" in entry.when:
            has_policy = True
        steps.append(
            Step(
                name=entry.name,
                when=checks.guard(f"{where}: when", entry.when, macros).text,
                ops=tuple(entry.ops) if trusted else checks.ops(f"{where}: ops", entry.ops),
                source=entry.source,
                note=entry.note,
            )
        )
    if iopl_where == "--iopl" and iopl != "never" and not has_policy:
        raise UsageError(
            f"--iopl {iopl}: kernel {file.name} has no step guarded by iopl_policy",
            "Choose an i386 kernel from 2.6.20 to 4.13, or add the step in a file of your own.",
        )
    return tuple(steps)


def _one_of(where: str, found: str | None, allowed: tuple[str, ...]) -> str:
    value = _needed(where, found)
    if value not in allowed:
        raise ConfigError(f"{where}: found {value!r}", f"Allowed: {', '.join(allowed)}.")
    return value


def _needed(where: str, found: T | None) -> T:
    if found is None:
        raise ConfigError(f"{where}: the key is missing", "A file without extends gives every key.")
    return found
