"""What differs between two files, and what may not differ by a missing key."""

from __future__ import annotations

import pytest

from snexec.settings.changes import (
    Change,
    changed_keys,
    changes,
    is_loosened_by_cut,
    loosened_by_absence,
    reloadable,
    with_reloaded,
)
from tests.settings.conftest import IN_FILE, ConfigFile
from tests.settings.keys import BY_NAME, KEYS, Key

# Which keys


def test_nothing_changed_is_no_change(file: ConfigFile) -> None:
    assert changed_keys(file.load(IN_FILE), file.load(IN_FILE)) == []


@BY_NAME
def test_a_changed_key_is_named(file: ConfigFile, key: Key) -> None:
    names = changed_keys(file.load(""), file.load(key.file(key.good[0])))

    section = key.name.split(".")[0]
    assert names == ([section] if section == "exchange" else [key.name])


@BY_NAME
def test_mode_bot_and_urls_hold_without_a_restart_and_nothing_else(key: Key) -> None:
    assert reloadable(key.name) is key.reloads


def test_changed_secrets_are_named_and_hold_without_a_restart(
    file: ConfigFile,
) -> None:
    names = changed_keys(file.load(""), file.load(IN_FILE))

    assert names == ["alpaca.api_key", "alpaca.api_secret"]
    assert all(reloadable(name) for name in names)


def everything_changed() -> str:
    top, sections = [], {"alpaca": ['api_key = "k"', 'api_secret = "s"']}
    for key in KEYS:
        *section, name = key.name.split(".")
        line = f"{name} = {key.good[0]}"
        if section:
            sections.setdefault(section[0], []).append(line)
        else:
            top.append(line)
    for section_name, lines in sections.items():
        top += [f"[{section_name}]", *lines]
    return "\n".join(top)


def test_a_reload_takes_what_needs_no_restart_and_leaves_the_rest(
    file: ConfigFile,
) -> None:
    old, new = file.load(""), file.load(everything_changed())

    merged = with_reloaded(old, new)

    changed = changed_keys(old, new)
    assert set(changed) >= {key.name for key in KEYS if "exchange" not in key.name}
    assert changed_keys(old, merged) == [n for n in changed if reloadable(n)]
    assert changed_keys(merged, new) == [n for n in changed if not reloadable(n)]


def test_a_reload_takes_nothing_from_the_same_file(file: ConfigFile) -> None:
    settings = file.load(everything_changed())

    assert with_reloaded(settings, settings) == settings


# What the log shows


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", 'mode = "live"', Change("mode", '"paper"', '"live"')),
        ("", "bot.enabled = false", Change("bot.enabled", "true", "false")),
        (
            "bot.max_share_price = 100",
            "",
            Change("bot.max_share_price", "100", "off"),
        ),
        (
            'bot.symbols_blocked = ["TSLA", "GME"]',
            "bot.symbols_blocked = []",
            Change("bot.symbols_blocked", '["GME","TSLA"]', "[]"),
        ),
        (
            "",
            'bot.symbols_blocked = ["'
            + '", "'.join(f"S{n}" for n in range(999))
            + '"]',
            Change("bot.symbols_blocked", "off", "…"),
        ),
        (
            "",
            'metrics.listen = "127.0.0.1:1"',
            Change("metrics.listen", "none", '"127.0.0.1:1"'),
        ),
        ("", "exchange.seed = 5", Change("exchange.seed", "none", "5")),
        (
            "",
            "exchange.symbols.HALT.reject = true",
            Change("exchange.symbols", "{}", "…"),
        ),
    ],
)
def test_a_change_is_told_as_the_file_would_say_it(
    file: ConfigFile, before: str, after: str, told: Change
) -> None:
    old, new = file.load(before), file.load(after)
    [change] = changes(old, new, changed_keys(old, new))

    assert (change.name, change.before) == told[:2]
    assert told.after in {change.after, "…"}
    assert len(change.after) <= 1001


@pytest.mark.parametrize(
    ("before", "after", "name", "told"),
    [
        (IN_FILE, IN_FILE.replace("file-", "hush-"), "alpaca.api_key", "***"),
        (IN_FILE, IN_FILE.replace("file-", "hush-"), "alpaca.api_secret", "***"),
        ("", 'notify.webhook = "https://me:hush@x.org/hush"', "notify.webhook", "none"),
        ("", 'notify.command = ["apprise", "x://hush"]', "notify.command", "none"),
    ],
)
def test_a_change_of_a_secret_shows_neither_the_old_nor_the_new(
    file: ConfigFile, before: str, after: str, name: str, told: str
) -> None:
    old, new = file.load(before), file.load(after)
    found = changes(old, new, changed_keys(old, new))

    assert Change(name, told, "***") in found
    assert "hush" not in repr(found)
    assert "file-" not in repr(found)


# What is loosened by what is missing


def outright(file: ConfigFile, before: str, after: str) -> list[str]:
    return loosened_by_absence(file.load(before), file.load(after))


OF_BOT = [key for key in KEYS if key.name.startswith("bot.")]


@pytest.mark.parametrize(
    ("key", "literal"),
    [
        (key, literal)
        for key in OF_BOT
        for literal in key.good
        if "trade_size" not in key.name and literal != "[]"
    ],
    ids=lambda value: value.name if isinstance(value, Key) else value,
)
@pytest.mark.parametrize("rest", ["", "[bot]", "[bot]\ntrade_size_stars5 = 100"])
def test_what_keeps_from_trading_is_not_loosened_by_a_missing_key_or_section(
    file: ConfigFile, key: Key, literal: str, rest: str
) -> None:
    [line] = outright(file, key.file(literal), rest)

    assert line.startswith(f"{key.name} = ")
    assert outright(file, key.file(literal), line) == [], "said outright it may be"
    default = file.load("")
    assert changed_keys(default, file.load(line)) == []


@pytest.mark.parametrize(
    ("size", "refused"), [("99.99", True), ("100", False), ("100.01", False)]
)
def test_a_trades_size_does_not_grow_by_a_missing_key(
    file: ConfigFile, size: str, refused: bool
) -> None:
    found = outright(file, f"bot.trade_size_stars5 = {size}", "")

    assert found == (["bot.trade_size_stars5 = 100"] if refused else [])


def test_a_list_that_blocks_nothing_may_go(file: ConfigFile) -> None:
    assert outright(file, "bot.symbols_blocked = []", "") == []


def test_what_is_said_may_be_as_loose_as_it_is_said(file: ConfigFile) -> None:
    strict = "[bot]\nmax_orders_per_day = 1\nsymbols_blocked = ['GME', 'KO']\n"
    loose = "[bot]\nmax_orders_per_day = 9\nsymbols_blocked = ['KO']\n"

    assert outright(file, strict, loose) == []


def test_the_mode_and_the_hosts_do_not_move_by_a_missing_key(file: ConfigFile) -> None:
    before = (
        'mode = "live"\n[alpaca]\npaper_url = "https://p.example.org"\n'
        'live_url = "https://l.example.org"\n'
    )
    assert outright(file, before, "[alpaca]") == [
        'mode = "paper"',
        'alpaca.paper_url = "https://paper-api.alpaca.markets"',
        'alpaca.live_url = "https://api.alpaca.markets"',
    ]


def test_keys_may_go_as_nothing_is_ordered_without_them(file: ConfigFile) -> None:
    assert outright(file, IN_FILE, "") == []


@pytest.mark.parametrize(
    "key", [key for key in KEYS if not key.reloads], ids=lambda key: key.name
)
def test_what_needs_a_restart_may_be_missing(file: ConfigFile, key: Key) -> None:
    assert outright(file, key.file(key.good[0]), "") == []


RATE = "bot.min_win_rate = 0.5\nbot.min_win_rate_trades = 20\n"


@pytest.mark.parametrize(
    ("after", "refused"),
    [
        ("", ['bot.min_win_rate = "off"', 'bot.min_win_rate_trades = "off"']),
        ('bot.min_win_rate_trades = "off"', ['bot.min_win_rate = "off"']),
        ('bot.min_win_rate = "off"', []),
        ('bot.min_win_rate = "off"\nbot.min_win_rate_trades = 20', []),
        ('bot.min_win_rate = "off"\nbot.min_win_rate_trades = "off"', []),
    ],
)
def test_the_win_rate_is_off_by_its_first_key(
    file: ConfigFile, after: str, refused: list[str]
) -> None:
    assert outright(file, RATE, after) == refused


@pytest.mark.parametrize(
    ("name", "before", "after", "looser"),
    [
        ("symbol_cooldown_sec", "60.0", "6", True),
        ("symbol_cooldown_sec", "60.0", "60", False),
        ("symbol_cooldown_sec", '"off"', "6", False),
        ("symbol_cooldown_sec", "60.0", '"off"', False),  # complete, so outright
        ("min_relative_volume", "20", "2", True),
        ("max_orders_per_day", "20", "2", False),
        ("trade_size_stars5", "200", "20", False),
    ],
)
def test_a_number_without_its_last_digits_may_be_looser(
    file: ConfigFile, name: str, before: str, after: str, looser: bool
) -> None:
    old, new = file.load(f"bot.{name} = {before}"), file.load(f"bot.{name} = {after}")

    assert is_loosened_by_cut(old, new, f"bot.{name}") is looser
