r"""Files of orders: one order a line, each with its own options and with what must be found.

    # comment
    A1  [xen]      bad 4 H1 : begin enter_cpu write_cr3 load_tls loadsegment:fs leave_cpu end
    C1  [xen, vmi] bad 5 S1 : begin enter_cpu load_tls leave_cpu end user   (want IOPL=0, hw=3)
        [any]      good     : begin enter_cpu load_tls leave_cpu loadsegment:fs end --kernel 2.6.21
    enter_mmu set_pte:a leave_mmu

What stands before `` : `` is optional in every part: a name, the backends, what is expected.  ``bad`` takes
one or more pairs of step and rule and means exactly these violations, ``good`` means none.  Options may be
written as on the command line or, in brackets, as ``want``, ``hw``, ``NAME live``, ``NAME volatile``,
``scrub NAME``; they go before those of the command line, and add to its context.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pvreplay.errors import UsageError
from pvreplay.replay.order import split_order
from pvreplay.replay.order_check import Expected

LINES_MAX: Final = 10_000
TAKES_VALUE: Final = {
    "-b": "backend",
    "--backend": "backend",
    "-k": "kernel",
    "--kernel": "kernel",
    "--policy": "policy",
    "--want": "want",
    "--hw": "hw",
    "--live": "live",
    "--volatile": "volatile",
    "--scrub": "scrub",
    "--tls-slots": "tls_slots",
}
"""Options a line may have, all of them the command's own."""
FLAGS: Final = {"--no-resident": "no_resident"}
CONTEXT: Final = ("want", "hw", "live", "volatile", "scrub")

_HEAD: Final = re.compile(
    r"(?:(?P<name>[^\s\[\]:]+)\s+)?(?:\[(?P<backends>[^\]]*)\]\s*)?"
    r"(?:(?P<good>good)|bad(?P<bad>(?:[\s,]+\d+\s+\w+)+))?\s*"
)


class Settings(msgspec.Struct):
    """What an order is checked with: lists add up, a kernel or policy replaces the one before."""

    backend: list[str] = []
    kernel: str = ""
    policy: str = ""
    want: list[str] = []
    hw: list[str] = []
    live: list[str] = []
    volatile: list[str] = []
    scrub: list[str] = []
    tls_slots: int | None = None
    no_resident: bool = False

    def over(self, below: Settings) -> Settings:
        """These settings where they say something, *below* elsewhere; both contexts."""
        return Settings(
            backend=self.backend or below.backend,
            kernel=self.kernel or below.kernel,
            policy=self.policy or below.policy,
            want=below.want + self.want,
            hw=below.hw + self.hw,
            live=below.live + self.live,
            volatile=below.volatile + self.volatile,
            scrub=below.scrub + self.scrub,
            tls_slots=below.tls_slots if self.tls_slots is None else self.tls_slots,
            no_resident=self.no_resident or below.no_resident,
        )

    def told(self) -> list[str]:
        """The context as options."""
        words = [f"--{name} {value}" for name in CONTEXT for value in getattr(self, name)]
        if self.tls_slots is not None:
            words.append(f"--tls-slots {self.tls_slots}")
        return words + ["--no-resident"] * self.no_resident


class OrderLine(msgspec.Struct):
    """An order to check; *expected* is None when its line does not say what must be found."""

    tokens: list[str]
    settings: Settings
    name: str = ""
    line: int = 0
    expected: list[Expected] | None = None


def read_orders(text: str, path: str) -> list[OrderLine]:
    """The orders in *text*; *path* is for errors, which are :class:`UsageError` with the line."""
    found = list(_orders(text, path))
    if not found:
        raise UsageError(
            f"{path}: no order in it", "One order a line: 'begin enter_cpu load_tls leave_cpu end'."
        )
    return found


def _orders(text: str, path: str) -> Iterator[OrderLine]:
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        raise UsageError(f"{path}: {len(lines)} lines", f"At most {LINES_MAX} are read.")
    for number, line in enumerate(lines, 1):
        line = re.sub(r"(?:^|\s)#.*", "", line).strip()
        if not line:
            continue
        try:
            order = parse_line(line)
        except UsageError as error:
            raise UsageError(f"{path}:{number}: {error.message}", error.hint) from None
        order.line = number
        yield order


def parse_line(line: str) -> OrderLine:
    """One line without its comment; :class:`UsageError` says what is wrong with it."""
    name, backends, expected = "", [], None
    head, sign, rest = line.partition(" : ")
    if sign:
        line = rest
        match = _HEAD.fullmatch(head.strip())
        if match is None:
            raise UsageError(
                f"{head.strip()!r} before the order",
                "Expected NAME [BACKENDS] bad STEP RULE, or good; each optional.",
            )
        name = match["name"] or ""
        if name in ("good", "bad") and not (match["good"] or match["bad"]):
            raise UsageError(f"{head.strip()!r} before the order", "Expected bad STEP RULE, or good.")
        backends = [] if match["backends"] is None else _backends(match["backends"])
        expected = _expected(match["good"], match["bad"])
    words, settings = _options(line)
    settings.backend = settings.backend or backends
    return OrderLine(split_order(" ".join(words)), settings, name=name, expected=expected)


def _backends(text: str) -> list[str]:
    names = re.split(r"[\s,]+", text.strip())
    return [] if names in (["any"], [""]) else names


def _expected(good: str | None, bad: str | None) -> list[Expected] | None:
    if good:
        return []
    if bad is None:
        return None
    from pvreplay.rules import get_rule

    pairs = re.findall(r"(\d+)\s+(\w+)", bad)
    return sorted(Expected(int(step), get_rule(rule).code) for step, rule in pairs)


def _options(line: str) -> tuple[list[str], Settings]:
    """The ops of a line, and its options in either spelling."""
    settings = Settings()
    found = re.search(r"\(([^()]*)\)\s*$", line)
    if found:
        _bracketed(found[1], settings)
        line = line[: found.start()]
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{line.strip()!r}: {error}", "A quote has no end.") from None
    ops = []
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            ops.append(word)
        elif word in FLAGS:
            setattr(settings, FLAGS[word], True)
        elif option in TAKES_VALUE:
            if not equals:
                value = next(left, "")
            if not value:
                raise UsageError(f"{option}: no value", f"Expected {option} VALUE.")
            _set(settings, TAKES_VALUE[option], value)
        else:
            known = ", ".join([*(name for name in TAKES_VALUE if name[1] == "-"), *FLAGS])
            raise UsageError(f"{word}: no such option of an order", f"Known: {known}.")
    return ops, settings


def _set(settings: Settings, name: str, value: str) -> None:
    if name in ("kernel", "policy"):
        setattr(settings, name, value)
    elif name == "tls_slots":
        if value not in ("0", "1", "2", "3"):
            raise UsageError(f"--tls-slots {value}", "A task has 3 TLS slots: 0 to 3 of them change.")
        settings.tls_slots = int(value)
    else:
        getattr(settings, name).append(value)


def _bracketed(text: str, settings: Settings) -> None:
    """``want IOPL=0, hw=3`` and ``gs live``; a value without a name is of the resource named last."""
    resource = ""
    for part in re.split(r"\s*,\s*", text.strip()):
        short = re.fullmatch(r"(want|hw)\s*=\s*(\S+)", part)
        long = re.fullmatch(r"(want|hw)\s+([^\s=]+)=(\S+)", part)
        flag = re.fullmatch(r"(\S+)\s+(live|volatile)", part)
        scrub = re.fullmatch(r"scrub\s+(\S+)", part)
        if long:
            resource = long[2]
            _set(settings, long[1], f"{resource}={long[3]}")
        elif short and resource:
            _set(settings, short[1], f"{resource}={short[2]}")
        elif flag:
            _set(settings, flag[2], flag[1])
        elif scrub:
            _set(settings, "scrub", scrub[1])
        else:
            raise UsageError(
                f"({part})", "Expected want IOPL=0, hw IOPL=3, gs live, BTF volatile, or scrub RSB."
            )


def single(words: Sequence[str], settings: Settings) -> OrderLine:
    """The order given on the command line."""
    return OrderLine(split_order(" ".join(words)), settings)
