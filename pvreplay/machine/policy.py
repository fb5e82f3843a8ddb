"""The contract of the lazy modes is a policy: it changed over the years and differs between architectures."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from pvreplay.errors import UsageError

Nesting = Literal["forbidden", "counted"]


class Policy(NamedTuple):
    """Which uses of the lazy modes are allowed.

    *nesting* of enter_lazy_mmu: forbidden, or counted with the inner leave flushing.  *preempt_in_mmu*: a
    switch inside a section is allowed when it is drained and parked.
    *suspends*: entering CPU mode suspends MMU mode by itself.  *irq*: what
    enter, leave and deferral in an interrupt are: unstated, none (the mode
    reads as off), forbidden.
    """

    name: str
    title: str
    nesting: Nesting
    preempt_in_mmu: bool
    suspends: bool
    irq: Literal["unstated", "none", "forbidden"]
    source: str


POLICIES: Final[dict[str, Policy]] = {
    policy.name: policy
    for policy in (
        Policy(
            "seed2006",
            "as stated with the first patch: never nested, always paired, one mode at a time",
            "forbidden",
            False,
            False,
            "unstated",
            'LKML, 2006-12-12, Zachary Amsden, "Paravirt cpu batching"; '
            '6606c3e0da53 ("paravirt: lazy mmu mode hooks.patch", v2.6.19-rc1): under the page-table lock',
        ),
        Policy(
            "x86-2009",
            "preemptible sections, parked at a switch; no batching in interrupts",
            "forbidden",
            True,
            True,
            "none",
            'b407fc57b81 ("x86/paravirt: flush pending mmu updates on context switch", v2.6.31-rc1), '
            'b8bcfe997e4 ("x86/paravirt: remove lazy mode in interrupts", v2.6.31-rc1)',
        ),
        Policy(
            "strict-nopreempt",
            "powerpc 2022, sparc 2025: preemption off for the whole section, nothing in interrupts",
            "forbidden",
            False,
            False,
            "forbidden",
            "powerpc b9ef323ea168 (2022), sparc a1d416bf9faf (2025)",
        ),
        Policy(
            "generic2025",
            "nested sections are counted, an inner leave flushes; no effect in interrupts; no sleep",
            "counted",
            True,
            True,
            "none",
            "the comment in include/linux/pgtable.h at the end of 2025; "
            '"Nesting support for lazy MMU mode", v4',
        ),
    )
}
DEFAULT_POLICY: Final = "seed2006"


def get_policy(name: str) -> Policy:
    """The policy called *name*; raises :class:`UsageError` with the names there are."""
    if name not in POLICIES:
        raise UsageError(f"policy {name!r} is not known", f"Expected one of: {', '.join(POLICIES)}.")
    return POLICIES[name]
