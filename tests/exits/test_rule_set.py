"""The rules as they are kept, and which of two is stricter (SPEC 12.3)."""

from __future__ import annotations

import pytest

from snexec.exits.rule_set import (
    NO_RULES,
    RuleSet,
    is_stricter,
    laxer,
    read_rules,
    rules_of,
)
from tests.exits.hands import make_exits

ALL = {
    "hard_stop_loss_pct": 5.5,
    "profit_target_pct": 10,
    "trailing_stop_pct": 3,
    "trailing_start_pct": 1,
    "max_hold_duration_sec": 3600.5,
    "flatten_before_close_sec": 300,
}


def rules(**keys: object) -> RuleSet:
    return rules_of(make_exits(**keys), NO_RULES, 1000.0)


def test_what_is_kept_is_read_back() -> None:
    for keys in ({}, ALL, {"hard_stop_loss_pct": 0.1}):
        assert read_rules(rules(**keys).text()) == rules(**keys)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "null", "{", "[]", '{"rules": {}}', '{"flattenSince": null}'),
        '{"rules": {"hard_stop_loss_pct": "5"}, "flattenSince": null}',
        rules(**ALL).text().replace("5.5", "x"),
        rules().text().replace('"trailing_start_pct": "0.0"', '"x": null'),
    ],
)
def test_what_cannot_be_read_is_no_rules_known(text: str | None) -> None:
    assert read_rules(text) is None


def test_they_stand_in_for_those_of_the_settings() -> None:
    kept = read_rules(rules(**ALL).text())
    assert kept is not None
    assert kept.within(make_exits(poll_sec=7)) == make_exits(**ALL, poll_sec=7)
    assert NO_RULES.within(make_exits(**ALL)) == make_exits()


def test_none_are_on_while_they_are_not_enabled() -> None:
    assert rules(**ALL, enabled=False) == NO_RULES


def test_since_when_shares_are_flattened_is_kept_while_they_are() -> None:
    first = rules(flatten_before_close_sec=60)
    assert first.flatten_since == 1000
    longer = make_exits(flatten_before_close_sec=90)
    assert rules_of(longer, first, 2000.0).flatten_since == 1000
    assert rules_of(make_exits(), first, 2000.0).flatten_since is None


@pytest.mark.parametrize(
    ("old", "new", "stricter"),
    [
        ({}, {}, False),
        (ALL, ALL, False),
        ({}, {"hard_stop_loss_pct": 50}, True),
        ({"hard_stop_loss_pct": 5}, {"hard_stop_loss_pct": 4.99}, True),
        ({"hard_stop_loss_pct": 5}, {"hard_stop_loss_pct": 5.01}, False),
        ({"profit_target_pct": 5}, {"profit_target_pct": 4}, True),
        ({"profit_target_pct": 5}, {"profit_target_pct": 6}, False),
        ({"trailing_stop_pct": 5}, {"trailing_stop_pct": 4}, True),
        (
            {"trailing_stop_pct": 5, "trailing_start_pct": 2},
            {"trailing_stop_pct": 5, "trailing_start_pct": 1},
            True,
        ),
        ({"trailing_start_pct": 2}, {"trailing_start_pct": 1}, False),  # no stop
        ({"max_hold_duration_sec": 60}, {"max_hold_duration_sec": 59}, True),
        ({"max_hold_duration_sec": 60}, {"max_hold_duration_sec": 61}, False),
        ({"flatten_before_close_sec": 60}, {"flatten_before_close_sec": 61}, True),
        ({"flatten_before_close_sec": 60}, {"flatten_before_close_sec": 59}, False),
        (ALL, {}, False),
    ],
)
def test_stricter_is_what_may_sell_more(
    old: dict[str, float], new: dict[str, float], stricter: bool
) -> None:
    assert is_stricter(rules(**old), rules(**new)) is stricter


def test_of_two_the_laxer_form_of_each_rule_holds_meanwhile() -> None:
    old = rules(hard_stop_loss_pct=5, profit_target_pct=20, max_hold_duration_sec=60)
    new = rules(hard_stop_loss_pct=9, profit_target_pct=10, trailing_stop_pct=3)
    assert laxer(old, new).within(make_exits()) == make_exits(
        hard_stop_loss_pct=9, profit_target_pct=20
    )
