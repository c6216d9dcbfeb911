"""``[exits]``: its keys, and what of it no missing key may loosen."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.settings import ExitSettings
from snexec.settings.changes import (
    Change,
    changed_keys,
    changes,
    is_loosened_by_cut,
    loosened_by_absence,
    reloadable,
    with_reloaded,
)
from tests.settings.conftest import ConfigFile

# What a file may say


def exits(file: ConfigFile, line: str) -> ExitSettings:
    found = file.load(f"[exits]\n{line}\n").exits
    assert found is not None
    return found


def test_without_its_section_there_are_no_exits(file: ConfigFile) -> None:
    assert file.load("").exits is None


def test_with_an_empty_section_no_rule_is_on(file: ConfigFile) -> None:
    found = exits(file, "")

    assert found.model_dump() == {
        "enabled": True,
        "hard_stop_loss_pct": None,
        "profit_target_pct": None,
        "trailing_stop_pct": None,
        "trailing_start_pct": 0,
        "max_hold_duration_sec": None,
        "flatten_before_close_sec": None,
        "price_source": "positions",
        "poll_sec": 2,
        "feed": "iex",
        "data_url": "https://data.alpaca.markets",
        "data_stream_url": "wss://stream.data.alpaca.markets",
        "confirm_ticks": 2,
        "max_price_jump_pct": 20,
        "max_price_age_sec": 15,
        "blind_sec": 30,
        "broker_stop": False,
        "broker_stop_pct": None,
        "external": True,
        "external_grace_sec": 30,
        "resend_after_sec": 5,
        "retry_max_sec": 300,
        "activation_delay_sec": 60,
    }
    assert not found.needs_prices


PARTS = ("0.01", "5", "99.99"), ("0", "100", "-1", "nan", "inf", '"5"', "true")
GAINS = ("0.01", "5", "100", "100_000"), ("0", "-1", "100_001", "inf", '"5"', "true")
WAITS = ("0.5", "60", "86400"), ("0.49", "0", "-1", "86401", "nan", '"5"', "true")
SWITCH = ("true", "false"), ("1", '"true"', "0.0")
KEYS = {
    "enabled": SWITCH,
    "hard_stop_loss_pct": PARTS,
    "profit_target_pct": GAINS,
    "trailing_stop_pct": PARTS,
    "trailing_start_pct": (("0", "0.5", "100"), ("-0.1", "nan", '"5"', "true")),
    "max_hold_duration_sec": (("1", "604_800"), ("0", "-1", "inf", '"5"', "true")),
    "flatten_before_close_sec": (("30", "3600"), ("29.9", "3601", "0", '"5"')),
    "price_source": (('"positions"', '"snapshots"', '"stream"'), ('"sip"', "1", '""')),
    "poll_sec": (("0.5", "60"), ("0.49", "60.1", "nan", '"2"', "true")),
    "feed": (('"iex"', '"sip"', '"test"'), ('"IEX"', "1", '""')),
    "data_url": (
        ('"https://example.org"', '"http://127.0.0.1:8000"'),
        ('"http://example.org"', '"wss://example.org"', '"https://"', "1"),
    ),
    "data_stream_url": (
        ('"wss://example.org"', '"ws://127.0.0.1:8000"', '"ws://[::1]:1"'),
        ('"ws://example.org"', '"https://example.org"', '"wss://"', '"wss://x:0"', "1"),
    ),
    "confirm_ticks": (("1", "10"), ("0", "11", "2.0", '"2"', "true")),
    "max_price_jump_pct": GAINS,
    "max_price_age_sec": WAITS,
    "blind_sec": WAITS,
    "broker_stop": (("false",), ("1", '"on"')),
    "broker_stop_pct": PARTS,
    "external": SWITCH,
    "external_grace_sec": WAITS,
    "resend_after_sec": WAITS,
    "retry_max_sec": WAITS,
    "activation_delay_sec": WAITS,
}
RULES = (
    "hard_stop_loss_pct",
    "profit_target_pct",
    "trailing_stop_pct",
    "max_hold_duration_sec",
    "flatten_before_close_sec",
    "broker_stop_pct",
)


def test_every_key_is_tested_here() -> None:
    assert list(KEYS) == list(ExitSettings.model_fields)


@pytest.mark.parametrize(
    ("key", "good"), [(key, value) for key, (good, _) in KEYS.items() for value in good]
)
def test_a_value_within_its_bounds_is_taken(
    file: ConfigFile, key: str, good: str
) -> None:
    exits(file, f"{key} = {good}")


@pytest.mark.parametrize(
    ("key", "bad"), [(key, value) for key, (_, bad) in KEYS.items() for value in bad]
)
def test_a_value_beyond_its_bounds_is_refused_by_the_name_of_its_key(
    file: ConfigFile, key: str, bad: str
) -> None:
    assert file.refusal(f"[exits]\n{key} = {bad}\n").startswith(f"exits.{key}: ")


def test_an_unknown_key_is_refused_by_its_name(file: ConfigFile) -> None:
    said = file.refusal("[exits]\nstop_loss_pct = 5\n")
    assert said == "exits.stop_loss_pct: is not a known key"


def test_what_is_no_table_is_refused(file: ConfigFile) -> None:
    assert file.refusal("exits = 5\n") == "exits: must be a [exits] table"


@pytest.mark.parametrize("key", RULES)
def test_a_rule_that_is_off_is_as_one_without_its_key(
    file: ConfigFile, key: str
) -> None:
    assert getattr(exits(file, f'{key} = "off"'), key) is None


def test_a_percentage_is_what_is_written(file: ConfigFile) -> None:
    assert exits(file, "hard_stop_loss_pct = 0.1").hard_stop_loss_pct == Decimal("0.1")


def test_a_stop_at_the_broker_needs_a_price(file: ConfigFile) -> None:
    assert file.refusal("[exits]\nbroker_stop = true\n") == (
        "exits: broker_stop needs broker_stop_pct or hard_stop_loss_pct"
    )
    line = "broker_stop = true\nhard_stop_loss_pct = 5"
    assert exits(file, line).stop_at_broker_pct == 5
    assert exits(file, f"{line}\nbroker_stop_pct = 7").stop_at_broker_pct == 7


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("hard_stop_loss_pct = 5", True),
        ("profit_target_pct = 5", True),
        ("trailing_stop_pct = 5", True),
        ("max_hold_duration_sec = 60\nflatten_before_close_sec = 60", False),
        ("hard_stop_loss_pct = 5\nenabled = false", False),
    ],
)
def test_prices_are_needed_by_the_rules_that_go_by_them(
    file: ConfigFile, line: str, needed: bool
) -> None:
    assert exits(file, line).needs_prices is needed


# What a second reading changes

STOP = "[exits]\nhard_stop_loss_pct = 5\n"


def test_every_key_holds_without_a_restart(file: ConfigFile) -> None:
    old = file.load("")
    for key, (values, _) in KEYS.items():
        new = file.load(f"[exits]\n{key} = {values[-1]}")
        assert all(map(reloadable, changed_keys(old, new)))
        assert with_reloaded(old, new).exits == new.exits


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", STOP, [("enabled", "false", "true"), ("hard_stop_loss_pct", "off", "5")]),
        (STOP, "", [("enabled", "true", "false"), ("hard_stop_loss_pct", "5", "off")]),
        (
            STOP,
            "[exits]\nhard_stop_loss_pct = 7.5",
            [("hard_stop_loss_pct", "5", "7.5")],
        ),
        (STOP, STOP, []),
    ],
)
def test_a_change_is_named_by_its_keys(
    file: ConfigFile, before: str, after: str, said: list[tuple[str, str, str]]
) -> None:
    old, new = file.load(before), file.load(after)
    assert changes(old, new, changed_keys(old, new)) == [
        Change(f"exits.{key}", was, now) for key, was, now in said
    ]


def outright(file: ConfigFile, before: str, after: str) -> list[str]:
    return loosened_by_absence(file.load(before), file.load(after))


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (STOP, "", []),
        (STOP, "[exits]\nenabled = false", []),
        (STOP, "[exits]", []),
        (STOP, '[exits]\nhard_stop_loss_pct = "off"', []),
        (STOP, "[exits]\nhard_stop_loss_pct = 50", []),
        (
            "[exits]\ntrailing_stop_pct = 5\nmax_hold_duration_sec = 60",
            STOP,
            [],
        ),
        ("[exits]\nenabled = false", "[exits]", ["exits.enabled = true"]),
        ("[exits]\nenabled = false", "[exits]\nenabled = true", []),
        (f"{STOP}enabled = false", "", []),
        ("[exits]\nconfirm_ticks = 3", "[exits]", []),
        (
            '[exits]\ndata_url = "http://127.0.0.1:1"',
            "[exits]",
            ['exits.data_url = "https://data.alpaca.markets"'],
        ),
        ("", STOP, []),
        ("", "[exits]", []),
    ],
)
def test_a_rule_without_its_key_is_off_and_none_begins_by_a_missing_key(
    file: ConfigFile, before: str, after: str, refused: list[str]
) -> None:
    assert outright(file, before, after) == refused


@pytest.mark.parametrize(
    ("before", "after", "cut"),
    [
        ("hard_stop_loss_pct = 15", "hard_stop_loss_pct = 1", True),
        ("hard_stop_loss_pct = 15", "hard_stop_loss_pct = 16", False),
        ("flatten_before_close_sec = 300", "flatten_before_close_sec = 30", True),
        ("hard_stop_loss_pct = 15", 'hard_stop_loss_pct = "off"', False),
        ('hard_stop_loss_pct = "off"', "hard_stop_loss_pct = 1", False),
    ],
)
def test_a_number_that_the_files_end_may_have_cut_is_no_new_rule(
    file: ConfigFile, before: str, after: str, cut: bool
) -> None:
    old, new = file.load(f"[exits]\n{before}"), file.load(f"[exits]\n{after}")
    name = f"exits.{before.partition(' ')[0]}"

    assert is_loosened_by_cut(old, new, name) is cut
