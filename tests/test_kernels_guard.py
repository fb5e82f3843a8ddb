"""The guard language: names, and, or, not, parentheses; nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.kernels.guard import LENGTH_MAX, NAMES, GuardError, compile_guard

ZERO = dict.fromkeys(NAMES, 0)
FEW = ("mm_differs", "ldt_differs", "next_gs", "kernel_rpl")


@pytest.mark.parametrize(
    ("text", "true", "expected"),
    [
        ("true", "", True),
        ("false", "", False),
        ("not false", "", True),
        ("mm_differs", "", False),
        ("mm_differs", "mm_differs", True),
        ("not mm_differs", "mm_differs", False),
        ("mm_differs and ldt_differs", "mm_differs", False),
        ("mm_differs and ldt_differs", "mm_differs ldt_differs", True),
        ("mm_differs or ldt_differs", "ldt_differs", True),
        ("mm_differs or ldt_differs and next_gs", "mm_differs", True),
        ("(mm_differs or ldt_differs) and next_gs", "mm_differs", False),
        ("  mm_differs\n and\tnext_gs ", "mm_differs next_gs", True),
        ("tls", "tls", True),
        ("tls", "", False),
    ],
)
def test_a_guard_is_the_boolean_it_reads_as(text: str, true: str, expected: bool) -> None:
    facts = ZERO | dict.fromkeys(true.split(), 1)
    assert compile_guard(text)(facts) is expected


def test_a_count_of_tls_slots_is_true_when_it_is_not_zero() -> None:
    guard = compile_guard("tls and mm_differs")
    assert guard(ZERO | {"tls": 3, "mm_differs": 1}) is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "mm_differs and",
        "mm_differs ==",
        "1",
        "True",
        "None",
        "'mm_differs'",
        "mm_differs == 1",
        "tls > 1",
        "tls + 1",
        "mm_differs & next_gs",
        "~mm_differs",
        "-mm_differs",
        "mm_differs()",
        "mm_differs.real",
        "mm_differs[0]",
        "lambda: mm_differs",
        "(mm_differs := 1)",
        "[mm_differs]",
        "{mm_differs}",
        "mm_differs if next_gs else false",
        "[x for x in mm_differs]",
        "__import__('os').system('true')",
        "f'{mm_differs}'",
        "mm_differs; next_gs",
        "mm_differs\nnext_gs",
        "import os",
        "await mm_differs",
        "*mm_differs",
        "mm_differs, next_gs",
        "...",
        "\x00",
        "(" * 900,
        "not " * 240 + "mm_differs or" + " x" * 10,
    ],
)
def test_anything_but_names_and_boolean_operators_is_refused(text: str) -> None:
    with pytest.raises(GuardError):
        compile_guard(text)


def test_an_unknown_name_is_named_with_the_nearest_one_and_all_others() -> None:
    with pytest.raises(GuardError) as caught:
        compile_guard("mm_difers and next_gs")
    assert caught.value.message == "unknown name 'mm_difers'"
    assert "did you mean mm_differs?" in caught.value.hint
    assert "kernel_rpl" in caught.value.hint
    with pytest.raises(GuardError):
        compile_guard("__builtins__")
    with pytest.raises(GuardError):
        compile_guard("facts")


def test_a_guard_longer_than_the_limit_is_refused_before_it_is_parsed() -> None:
    text = "mm_differs or " * (LENGTH_MAX // 14 + 1) + "next_gs"
    with pytest.raises(GuardError, match="characters"):
        compile_guard(text)


def test_a_macro_is_put_in_as_a_whole() -> None:
    guard = compile_guard("not policy", {"policy": "mm_differs and next_gs"})
    assert guard(ZERO | {"mm_differs": 1}) is True
    assert guard(ZERO | {"mm_differs": 1, "next_gs": 1}) is False
    assert guard.names == {"mm_differs", "next_gs"}


def test_the_text_of_a_guard_stays_as_it_was_written() -> None:
    text = "(mm_differs and ldt_differs) or lazy_tlb_reload"
    assert compile_guard(text, {"iopl_policy": "false"}).text == text


def expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from([*FEW, "true", "false"]),
        lambda inner: st.one_of(
            st.builds("not ({})".format, inner),
            st.builds("({}) and ({})".format, inner, inner),
            st.builds("({}) or ({})".format, inner, inner),
            st.builds(
                "{} or {} and {}".format, st.sampled_from(FEW), st.sampled_from(FEW), st.sampled_from(FEW)
            ),
        ),
        max_leaves=8,
    )


@settings(max_examples=80, deadline=None)
@given(expressions(), st.fixed_dictionaries({name: st.integers(0, 1) for name in FEW}))
def test_a_guard_agrees_with_python_and_its_reasons_decide_it(text: str, facts: dict[str, int]) -> None:
    guard = compile_guard(text)
    expected = bool(eval(text, {}, facts | {"true": True, "false": False}))
    assert guard(facts) is expected
    reasons = dict(guard.explain(facts))
    assert reasons.items() <= facts.items()
    for others in (0, 1):  # whatever the other names say, those reasons settle it
        assert guard(dict.fromkeys(FEW, others) | reasons) is expected
