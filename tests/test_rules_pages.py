"""Every rule's page: its headings, and its examples run."""

from __future__ import annotations

import pytest

from pvreplay.errors import UsageError
from pvreplay.rules import TABLE, all_rules, get_rule
from pvreplay.rules.base import HEADINGS, Rule
from tests.rule_examples import Example, examples, run

EXAMPLES = [example for rule in all_rules() for example in examples(rule)]


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_page_has_its_title_and_every_heading_in_order(rule: Rule) -> None:
    lines = rule.doc.splitlines()
    assert lines[0] == f"{rule.code} {rule.name}: {rule.summary}"
    headings = [line for line in lines[1:] if line and not line[0].isspace()]
    assert tuple(headings) == HEADINGS


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rule_has_an_example_that_fires_and_one_that_stays_silent(rule: Rule) -> None:
    fires = [example.fires_at is not None for example in examples(rule)]
    assert True in fires and False in fires
    assert rule.severity in ("security", "error", "perf")
    assert rule.advice.endswith(".")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one.rule}: {one.command[15:]}")
def test_the_examples_of_a_page_do_what_the_page_says(example: Example) -> None:
    found = [(violation.rule, violation.step) for violation in run(example.command)]
    if example.fires_at is None:
        assert example.rule not in [rule for rule, _ in found]
    else:
        assert (example.rule, example.fires_at) in found


def test_a_rule_is_found_by_code_and_by_name_and_the_error_lists_the_codes() -> None:
    assert get_rule("h3a") is get_rule("war-live")
    with pytest.raises(UsageError, match="no rule 'H9'") as caught:
        get_rule("H9")
    assert "H3a" in caught.value.hint and "W6" in caught.value.hint


def test_codes_and_names_are_unique() -> None:
    rules = all_rules()
    assert len({rule.code for rule in rules}) == len({rule.name for rule in rules}) == len(TABLE)
    assert [rule.code.upper() for rule in rules] == list(TABLE)
