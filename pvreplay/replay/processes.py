"""Pricing on several CPUs: backends are shared out to processes, which answer with what they added up.

Pricing is plain Python, which threads do not make faster.  A child is a fork: it has the histogram and
the models already, and sends back sums only.  What a child could not do, for whatever reason, the parent
does itself, so an error is raised where and as it would be without children.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any, Final, NoReturn, TypeVar

from pvreplay.rules import get_rule
from pvreplay.rules.base import Rule

T = TypeVar("T")
K = TypeVar("K")

WORTH_WINDOWS: Final = 2000
"""Units times backends; fewer are stepped before a second process has answered."""


def can_share(windows: int) -> bool:
    """Whether *windows* are worth a process, and this process may be forked: it has one thread."""
    return windows >= WORTH_WINDOWS and hasattr(os, "fork") and threading.active_count() == 1


def share_out(work: Callable[[K], T], items: Sequence[K], processes: int) -> list[T]:
    """``work(item)`` of every item, in *processes* processes at most, this one among them.

    What *work* gives is pickled; rules in it, which must be those of the table, and the items stay the
    objects that they are here.
    """
    count = min(processes, len(items))
    shares = [range(start, len(items), count) for start in range(count)]
    results: dict[int, T] = {}
    children: list[tuple[int, IO[bytes]]] = []
    try:
        for share in shares[1:]:
            child = _child(work, items, share)
            if child is None:
                break
            children.append(child)
        results |= {at: work(items[at]) for at in shares[0]}
        for _, pipe in children:
            results |= _answer(pipe, items)
    except BaseException:
        import signal

        for pid, _ in children:
            os.kill(pid, signal.SIGKILL)
        raise
    finally:
        for pid, pipe in children:
            pipe.close()
            os.waitpid(pid, 0)
    return [results[at] if at in results else work(item) for at, item in enumerate(items)]


def _child(work: Callable[[K], T], items: Sequence[K], share: range) -> tuple[int, IO[bytes]] | None:
    """(process, where its answer can be read); None when there can be no more processes."""
    read, write = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read)
        os.close(write)
        return None
    if not pid:
        os.close(read)
        _work_and_end(work, items, share, write)
    os.close(write)
    return pid, open(read, "rb")


def _work_and_end(work: Callable[[K], T], items: Sequence[K], share: range, write: int) -> NoReturn:
    """In the child: nothing of the parent's (open files, handlers at exit) is touched."""
    try:
        import gc

        gc.disable()
        content = _dumps({at: work(items[at]) for at in share}, items)
        with open(write, "wb") as pipe:
            pipe.write(content)
    finally:
        os._exit(0)


def _answer(pipe: IO[bytes], items: Sequence[object]) -> dict[int, Any]:
    """What a child sent; {} when it did not come to its end."""
    import io
    import pickle

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> object:
            return items[pid] if isinstance(pid, int) else get_rule(pid)

    try:
        found = Reader(io.BytesIO(pipe.read())).load()
    except (EOFError, pickle.UnpicklingError):
        return {}
    return found if isinstance(found, dict) else {}


def _dumps(value: object, items: Sequence[object]) -> bytes:
    """*value* pickled: a rule as its code, an item as its number."""
    import io
    import pickle

    numbers = {id(item): at for at, item in enumerate(items)}

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> str | int | None:
            return obj.code if isinstance(obj, Rule) else numbers.get(id(obj))

    out = io.BytesIO()
    Writer(out, pickle.HIGHEST_PROTOCOL).dump(value)
    return out.getvalue()
