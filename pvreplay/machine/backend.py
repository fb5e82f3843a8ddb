"""What a backend is to the machine: per op token, what becomes of it.

A :class:`Backend` is resolved for one kernel version: one row per op, one
queue, one action per lazy-mode transition.  :mod:`pvreplay.backends.reader`
makes it from data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from pvreplay.machine import resources as res
from pvreplay.machine.ops import PARTIAL, Token, parse
from pvreplay.machine.queue import QueueSpec

MODE_NONE: Final = 0
MODE_MMU: Final = 1
MODE_CPU: Final = 2
MODE_NAMES: Final = ("none", "lazy MMU", "lazy CPU")

Does = Literal["plain", "nothing", "trap", "hypercall", "queue", "rom"]
Outside = Literal["issue", "hypercall", "trap", "plain"]
Form = Literal["", "unbatched", "nolazy"]
Event = Literal["enter_cpu", "leave_cpu", "enter_mmu", "leave_mmu", "flush"]


class OpRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of one op, from kernel *since* to kernel *until* (both inclusive).

    *does*
        plain      the guest does it itself, at once
        nothing    it has no effect here
        trap       a privileged instruction, emulated at once
        hypercall  a hypercall of its own, at once
        queue      queued in the modes of *mode*; *outside* tells what happens otherwise
        rom        calls into the VMI ROM, *calls*; the ROM profile says what each becomes

    *entries* are queue entries, or ``"tls"``: one per TLS slot that changes; of a
    hypercall, how many it makes.
    *arg_bytes* is per entry.  *call* and *extend*: an entry extends the last
    one if that is the same *call*.  *outside*: issue (queue it and flush
    everything, in order), hypercall, trap, plain.  *drains*: a hypercall that
    flushes the queue first.  *shadow*: the read is answered from a copy.
    *clears*: selectors the op loads with null while in lazy CPU mode.
    """

    name: str
    does: Does
    mode: tuple[Literal["cpu", "mmu"], ...] = ()
    entries: int | Literal["tls"] = 1
    arg_bytes: int = 0
    call: str = ""
    extend: bool = False
    callbacks: int = 0
    outside: Outside = "issue"
    drains: bool = False
    shadow: bool = False
    clears: tuple[Literal["fs", "gs"], ...] = ()
    calls: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    arch: Literal["", "i386", "x86-64"] = ""
    source: str = ""
    note: str = ""


class ModeRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a lazy-mode transition does.

    *flush*: never, queued (one if there is something), always (one hypercall
    even when there is nothing).  *rom_calls*: calls into the ROM it makes.
    *any_mode*: a flush acts although no mode is on.
    """

    event: Event
    flush: Literal["never", "queued", "always"] = "never"
    rom_calls: int = 0
    any_mode: bool = False
    since: str = ""
    until: str = ""
    source: str = ""
    note: str = ""


class RomProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a ROM makes of its calls: an assumption, for the ROM is closed source.

    A call in *cpu* (or *mmu*) is deferred while in that mode and crosses
    otherwise; one in *local* never crosses; one in *ident* is left as a native
    instruction and is not even a ROM call; every other call crosses.
    *cross_drains*: a call that crosses takes the deferred ones along.
    *enter_crosses*: so does entering a lazy mode (SetLazyMode).
    """

    name: str
    default: bool = False
    cpu: tuple[str, ...] = ()
    mmu: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    ident: tuple[str, ...] = ()
    kernel_rpl: int = 1
    cross_drains: bool = False
    enter_crosses: bool = False
    assumption: str = ""
    source: str = ""


# Kinds of disposition, as small numbers for the step.
PLAIN: Final = 0
NOTHING: Final = 1
TRAP: Final = 2
HYPERCALL: Final = 3
QUEUE: Final = 4
ROM: Final = 5
MODE: Final = 6
MARK: Final = 7

_KINDS: Final[dict[str, int]] = {
    "plain": PLAIN,
    "nothing": NOTHING,
    "trap": TRAP,
    "hypercall": HYPERCALL,
    "queue": QUEUE,
    "rom": ROM,
}
OUT_ISSUE: Final = 0
OUT_HYPERCALL: Final = 1
OUT_TRAP: Final = 2
OUT_PLAIN: Final = 3
_OUTSIDE: Final[dict[str, int]] = {
    "issue": OUT_ISSUE,
    "hypercall": OUT_HYPERCALL,
    "trap": OUT_TRAP,
    "plain": OUT_PLAIN,
}


class Disposition:
    """One op token on one backend, ready to step.

    *overwrites*: what it writes whole, so that a write before it is lost.
    *modes* is a mask with bit ``1 << mode`` set where the op is deferred.
    *per_slot*: entries and calls are per TLS slot that changes; *slots* is how
    many do when the token says so, -1 when the context does.  *crossing*
    and *deferred* are numbers of ROM calls, outside a mode and per mode.
    """

    __slots__ = (
        "arg_bytes",
        "call",
        "callbacks",
        "clears",
        "deferred",
        "drains",
        "entries",
        "extend",
        "kind",
        "modes",
        "name",
        "op",
        "outside",
        "overwrites",
        "per_slot",
        "reads",
        "rom_calls",
        "rom_crossing",
        "row",
        "shadow",
        "slots",
        "token",
        "writes",
    )

    def __init__(self, token: Token, row: OpRow | None) -> None:
        self.token = token
        self.op = token.op
        self.name = token.op.name
        self.reads = token.reads
        self.writes = token.writes
        self.overwrites = 0 if token.op.name in PARTIAL else token.writes & ~res.PARTLY
        self.row = row
        self.kind = PLAIN
        self.modes = 0
        self.entries = 1
        self.per_slot = False
        self.slots = int(token.operand) if token.op.operand == "slots" and token.operand else -1
        self.arg_bytes = 0
        self.call = ""
        self.extend = False
        self.callbacks = 0
        self.outside = OUT_ISSUE
        self.drains = False
        self.shadow = False
        self.clears = 0
        self.rom_calls = 0
        self.rom_crossing = (0, 0, 0)
        self.deferred = (0, 0, 0)
        if token.op.kind != "op":
            self.kind = MODE if token.op.kind == "mode" else MARK
            return
        if row is None:
            return
        self.kind = _KINDS[row.does]
        self.modes = sum(1 << (MODE_CPU if mode == "cpu" else MODE_MMU) for mode in row.mode)
        self.per_slot = row.entries == "tls"
        self.entries = 1 if row.entries == "tls" else row.entries
        self.arg_bytes = row.arg_bytes
        self.call = row.call
        self.extend = row.extend
        self.callbacks = row.callbacks
        self.outside = _OUTSIDE[row.outside]
        self.drains = row.drains
        self.shadow = row.shadow
        self.clears = sum(res.BITS[name] for name in row.clears)
        if row.shadow:
            self.reads = 0
        if row.does == "nothing":
            self.reads = self.writes = 0

    def fate(self, profile: RomProfile) -> None:
        """Work out what the op's ROM calls become under *profile*."""
        assert self.row is not None
        calls = [call for call in self.row.calls if call not in profile.ident]
        deferrable: tuple[list[str], list[str], list[str]] = (
            [],
            [call for call in calls if call in profile.mmu],
            [call for call in calls if call in profile.cpu],
        )
        crossing = [call for call in calls if call not in profile.local]
        self.rom_calls = len(calls)
        self.deferred = (0, len(deferrable[1]), len(deferrable[2]))
        self.rom_crossing = (
            len(crossing),
            sum(call not in deferrable[1] for call in crossing),
            sum(call not in deferrable[2] for call in crossing),
        )
        self.modes = sum(1 << mode for mode in (MODE_MMU, MODE_CPU) if self.deferred[mode])
        if calls and not crossing:
            # Answered from the ROM's own copy, which sees what it has deferred itself.
            self.reads = 0


class Backend:
    """A backend resolved for one kernel.

    *traits* are what kernel files may ask for in guards (``kernel_rpl``).
    *implicit* is the mask of resources restored by the hardware at a switch
    (IOPL by the flags pop at CPL 0).  *reloads_selectors*: the hypervisor
    saves and reloads the guest's selectors itself.  *hypercall_drains*: any
    hypercall drains the queue first.  *irq_ignores_lazy*: nothing is queued in
    an interrupt.  *profiles*: the names that *profile* was chosen from.  *notes*
    are what a reader of this run's numbers must know, *file_notes* what the file
    says about the backend whatever is priced.
    """

    __slots__ = (
        "base",
        "description",
        "enter_crosses",
        "file_notes",
        "form",
        "hypercall_drains",
        "implicit",
        "irq_ignores_lazy",
        "modes",
        "name",
        "notes",
        "path",
        "profile",
        "profiles",
        "queue",
        "reloads_selectors",
        "rows",
        "rows_version",
        "sources",
        "table",
        "title",
        "traits",
    )

    def __init__(
        self,
        *,
        name: str,
        base: str,
        form: Form,
        title: str,
        description: str,
        queue: QueueSpec,
        modes: Mapping[Event, ModeRow],
        rows: Mapping[str, OpRow],
        profile: RomProfile | None,
        profiles: tuple[str, ...],
        traits: Mapping[str, int],
        implicit: int,
        reloads_selectors: bool,
        irq_ignores_lazy: bool,
        rows_version: str,
        notes: tuple[str, ...],
        file_notes: tuple[str, ...],
        sources: tuple[str, ...],
        path: str,
    ) -> None:
        self.name = name
        self.base = base
        self.form = form
        self.title = title
        self.description = description
        self.queue = queue
        self.modes = dict(modes)
        self.rows = rows
        self.profile = profile
        self.profiles = profiles
        self.traits = traits
        self.implicit = implicit
        self.reloads_selectors = reloads_selectors
        self.enter_crosses = profile is not None and profile.enter_crosses
        self.irq_ignores_lazy = irq_ignores_lazy
        self.hypercall_drains = queue.kind == "ring" or (profile is not None and profile.cross_drains)
        self.rows_version = rows_version
        self.notes = notes
        self.file_notes = file_notes
        self.sources = sources
        self.path = path
        self.table = Table(self)

    def disposition(self, token: str) -> Disposition:
        """What becomes of *token*; raises :class:`pvreplay.errors.ConfigError` for an unknown op."""
        return self.table[token]

    def __repr__(self) -> str:
        return f"Backend({self.name!r}, rows of {self.rows_version})"


class Table(dict[str, Disposition]):
    """Dispositions by token, worked out when first asked for."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend

    def __missing__(self, text: str) -> Disposition:
        token = parse(text)
        rows = self._backend.rows
        row = rows.get(f"{token.op.name}:{token.operand}") if token.operand else None
        disposition = Disposition(token, row or rows.get(token.op.name))
        if disposition.kind == ROM:
            assert self._backend.profile is not None
            disposition.fate(self._backend.profile)
        self[text] = disposition
        return disposition
