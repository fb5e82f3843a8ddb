"""Replays that do not hang on each other, side by side in threads: ``--jobs``.

What they give, and which error is raised, is what one after the other would give.  A thread pays
where the time goes into compiled loops, which leave Python's lock alone: for large files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

WORTH_BYTES = 1 << 22
"""Smaller files than this in all are replayed before threads would help."""


def jobs_option(command: F) -> F:
    """``--jobs``: how many threads may work at once, a setting of the process while the command runs."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        expose_value=False,
        callback=_set,
        help="Threads or processes that may work at once. Default: the CPUs there are. The answer is the "
        "same.",
    )(command)


def _set(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is not None:
        from pvreplay.sources.parallel import set_jobs

        set_jobs(value)
        ctx.call_on_close(lambda: set_jobs(0))


def together(calls: Sequence[Callable[[], T]], paths: Iterable[str]) -> list[T]:
    """What each of *calls* gives, which read *paths*; the error of the first that fails, if one does.

    Calls that run side by side share the threads there may be.
    """
    from pvreplay.sources.parallel import jobs, shared_by

    count = min(jobs(), len(calls))
    if count < 2 or sum(map(_bytes, paths)) < WORTH_BYTES:
        return [call() for call in calls]
    from threading import Thread

    results: list[Any] = [None] * len(calls)
    errors: list[BaseException | None] = [None] * len(calls)
    left = iter(range(len(calls)))

    def work() -> None:
        for number in left:
            try:
                results[number] = calls[number]()
            except BaseException as error:  # raised below, in the thread that waits
                errors[number] = error

    with shared_by(count):
        threads = [Thread(target=work, name="pvreplay-job", daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for error in errors:
        if error is not None:
            raise error
    return results


def _bytes(path: str) -> int:
    """The size of a file; 0 of anything else."""
    try:
        return os.stat(path).st_size if os.path.isfile(path) else 0
    except OSError:
        return 0
