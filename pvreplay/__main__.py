"""The entry point: runs a command and turns errors into two lines and an exit code.

A crash never looks like a verdict: exit 0 and 1 are answers about a trace, so
an unexpected exception ends with :data:`EXIT_BUG`.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing.TYPE_CHECKING, which would have to be imported
    from typing import NoReturn

EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h."""
EXIT_INTERRUPT = 130
EXIT_BROKEN_PIPE = 141
"""What a shell shows for a process that SIGPIPE ended."""


def script() -> NoReturn:
    """The ``pvreplay`` command: :func:`main`, then leave at once.

    Taking the interpreter apart would cost a short run a sixth of its time, and
    there is nothing left to do: output is flushed, files are closed.  A
    profiler or tracer gets the ordinary way out.
    """
    code = main()
    if sys.getprofile() is not None or sys.gettrace() is not None:
        sys.exit(code)
    try:
        sys.stderr.flush()
    finally:
        os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run *argv* (the process's own by default) and return the exit code."""
    args = sys.argv[1:] if argv is None else argv
    if sys.stdout is None or sys.stderr is None:
        _fill_closed()
    gc.disable()  # importing makes no garbage; cli.flow turns it on again when the start is over
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except BrokenPipeError:
        # Whoever read our output has seen enough.  Nothing more can be written,
        # not even by the interpreter when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_BROKEN_PIPE
    except Exception as error:
        return _explain(error)
    finally:
        gc.enable()


def _fill_closed() -> None:
    """Give a stream that was closed (``>&-``) its place again, before a file we open gets its number.

    Standard output then refuses every write, which is an error only if there is
    one; what would go to standard error is dropped.
    """
    for number, name, mode in ((1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, mode)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            stream = open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def _run(args: list[str]) -> int:
    if args == ["--version"]:  # asked by scripts, many times: not worth importing click
        from pvreplay.cli.version import version_text

        print(version_text())
        return 0
    from pvreplay.cli.main import group

    if "_PVREPLAY_COMPLETE" in os.environ:
        from pvreplay.cli.complete import register

        register()
        group.main(args, prog_name="pvreplay")  # writes the shell's completions and exits
    from click.exceptions import Exit

    try:
        with group.make_context("pvreplay", list(args)) as ctx:
            return int(group.invoke(ctx) or 0)
    except Exit as request:
        return request.exit_code if args else 2  # the help that older versions of click print is no answer


def _explain(error: Exception) -> int:
    from click import Abort, ClickException, UsageError, exceptions

    from pvreplay.errors import PvreplayError

    if isinstance(error, PvreplayError):
        _say(error.message, error.hint)
        return error.exit_code
    if isinstance(error, getattr(exceptions, "NoArgsIsHelpError", ())):  # click 8.2 and later
        assert isinstance(error, UsageError)
        print(error.format_message(), file=sys.stderr)
        return 2
    if isinstance(error, UsageError):
        command = error.ctx.command_path if error.ctx else "pvreplay"
        _say(" ".join(error.format_message().split()), f"Try '{command} --help'.")  # click breaks some lines
        return 2
    if isinstance(error, ClickException):
        _say(error.format_message(), "")
        return 2
    if isinstance(error, Abort):
        return EXIT_INTERRUPT
    if isinstance(error, OSError) and error.strerror:
        import errno

        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        if not where and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF):
            where = "standard output: "  # whoever writes a file tells its name
        _say(f"{where}{error.strerror}", "")
        return 2
    if isinstance(error, MemoryError):
        _say("out of memory", "This says nothing about the trace.")
        return EXIT_BUG
    return _admit(error)


def _admit(error: Exception) -> int:
    """Own up to a bug of ours."""
    if os.environ.get("PVREPLAY_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
    _say(
        f"this is a bug in pvreplay, not a verdict: {type(error).__name__}: {error}{where}",
        "Please report it with the output of the same command under PVREPLAY_TRACEBACK=1.",
    )
    return EXIT_BUG


def _say(message: str, hint: str) -> None:
    from pvreplay.report.escape import terminal

    try:
        print(f"pvreplay: {terminal(message)}", file=sys.stderr)
        if hint:
            print(f"          {terminal(hint)}", file=sys.stderr)
    except OSError:
        pass  # stderr is closed or full: the exit code still tells


if __name__ == "__main__":
    script()
