"""Machines and outcomes for tests, with little ceremony."""

from __future__ import annotations

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.backend import Backend
from pvreplay.machine.machine import Context, Machine
from pvreplay.machine.shape import GUARDS, MASKS, TLS_SHIFT
from pvreplay.replay.window import Outcome, facts_of, run_window

BATCHING = ("vmi", "xen", "lguest", "kvm")


def backend(name: str, kernel: str = "2.6.32") -> Backend:
    """A built-in backend resolved for a built-in kernel."""
    return load_backend(name, load_kernel(kernel))


def shape(*names: str, tls: int = 0) -> int:
    """The shape with these guards."""
    assert set(names) <= set(GUARDS)
    return sum(MASKS[name] for name in names) | tls << TLS_SHIFT


def switch(kernel: str, backend_name: str, *names: str, tls: int = 0, iopl: str | None = None) -> Outcome:
    """One switch of that shape."""
    loaded = load_kernel(kernel, iopl=iopl)
    return run_window(loaded, load_backend(backend_name, loaded), facts_of(shape(*names, tls=tls)))


def stepped(order: str, name: str, kernel: str = "2.6.32", context: Context | None = None) -> Machine:
    """A machine after the ops of *order*, judged by no rule; ``op*N`` is *op* N times at once."""
    machine = Machine(backend(name, kernel), context=context)
    for token in order.split():
        op, _, times = token.partition("*")
        machine.step(op, repeat=int(times or 1))
    machine.finish()
    return machine


def counts(machine: Machine) -> tuple[int, int, int, int]:
    """(hypercalls, entries, traps, rom_calls)."""
    return machine.hypercalls, machine.entries, machine.traps, machine.rom_calls
