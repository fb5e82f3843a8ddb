"""What a validation found, as data."""

from __future__ import annotations

import msgspec


class Switches(msgspec.Struct, kw_only=True):
    """How many switches were judged; *compared* = *equal* + *different*.

    *outside* are those before the evidence was switched on, or after it was
    switched off: nothing is there to compare.  *on_default* are those of the
    equal ones whose prediction hangs on a default value that the recording
    neither confirms nor denies: they cannot speak against the model.
    """

    compared: int = 0
    equal: int = 0
    different: int = 0
    undecided: int = 0
    outside: int = 0
    on_default: int = 0


class Decision(msgspec.Struct, kw_only=True):
    """One op of the path, over all switches.

    *predicted* and *seen* count switches that do it; *agree* + *differ* +
    *undecided* are all switches with a complete window.
    """

    predicted: int = 0
    seen: int = 0
    agree: int = 0
    differ: int = 0
    undecided: int = 0
    sign: str = ""


class Reason(msgspec.Struct, kw_only=True):
    """Why something is undecided.

    *exposed* switches had the gap; in *undecided* of them it decided whether
    the recording agrees with the prediction (*switches*), or a decision that
    is no pv op (*decisions*).
    """

    exposed: int = 0
    switches: int = 0
    decisions: int = 0
    text: str = ""


class Batches(msgspec.Struct, kw_only=True):
    """Sizes of one flush: "entries, argument bytes, callbacks" -> switches."""

    predicted: dict[str, int] = {}
    seen: dict[str, int] = {}


class Numbers(msgspec.Struct, kw_only=True):
    """Sums over the compared switches."""

    hypercalls: int = 0
    entries: int = 0
    arg_bytes: int = 0
    callbacks: int = 0


class Example(msgspec.Struct, kw_only=True):
    """A window: what was predicted beside what was recorded."""

    switch: int
    time_ns: int
    cpu: int
    prev: str
    next: str
    predicted: list[str]
    seen: list[str]
    lines: list[str]
    shape: list[str]


class Class(msgspec.Struct, kw_only=True):
    """Switches that differ, or are undecided, in the same way."""

    verdict: str
    what: str
    count: int
    reasons: list[str] = []
    example: Example | None = None


class Result(msgspec.Struct, kw_only=True):
    """A whole validation."""

    path: str
    format: str
    kernel: str
    backend: str
    switches: Switches
    decisions: dict[str, Decision]
    flushes: dict[str, Batches]
    predicted: Numbers
    seen: Numbers
    by_op: dict[str, dict[str, int]]
    """op -> {"predicted": hypercalls, "seen": times seen}: for ops that are hypercalls of their own."""
    confusion: dict[str, dict[str, int]]
    """shape predicted -> shape seen -> switches."""
    reasons: dict[str, Reason]
    classes: list[Class]
    other_work: dict[str, int]
    not_shown: list[str]
    lost_events: int = 0
    notes: list[str] = []

    @property
    def failed(self) -> bool:
        """Whether a difference is unexplained."""
        return self.switches.different > 0
