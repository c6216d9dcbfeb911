"""Every key of the file: its default, and what it may and may not hold."""

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Key:
    """One key of the file, in TOML literals.

    Attributes:
        name: As ``section.key``.
        default: What a file without it means.
        good: Other values that it may have; the first differs from the default.
        wrong_types: Values of other types.
        out_of_range: Values of its type that it may not have.
        reloads: Whether SIGHUP applies it.
    """

    name: str
    default: str
    good: tuple[str, ...]
    wrong_types: tuple[str, ...]
    out_of_range: tuple[str, ...]
    reloads: bool = False

    def file(self, literal: str) -> str:
        section, _, name = self.name.rpartition(".")
        if not literal:
            return f"[{section}]"
        return f"{f'[{section}]' if section else ''}\n{name} = {literal}"


NOT_BOOLEANS = ('"true"', "1", "0.0", "[]", "{}")
NOT_NUMBERS = ('"5"', "true", "[]", "{}", "1979-05-27")
NOT_INTEGERS = (*NOT_NUMBERS, "5.0", "5.5", "nan", "inf")
NOT_STRINGS = ("5", "true", "[]", "{}", "1979-05-27")
NEVER = ("-1", "-0.001", "nan", "inf", "-inf", "86400.001", "9" * 400)
BAD_URLS = (
    '""',
    '"api.alpaca.markets"',
    '"//api.alpaca.markets"',
    '"ftp://api.alpaca.markets"',
    '"wss://api.alpaca.markets"',
    '"https://"',
    '"https:///v2"',
    '"https://api.alpaca.markets:0"',
    '"https://api.alpaca.markets:65536"',
    '"https://api.alpaca.markets:x"',
    '"https://[::1"',
    '"https://api.alpaca.markets?x=1"',
    '"https://api.alpaca.markets#x"',
    '"https://api.alpaca.markets "',
    '" https://api.alpaca.markets"',
    '"https://api alpaca.markets"',
    '"https://api.alpaca.markets\\n"',
    '"https://api.alpaca\\t.markets"',
    '"https://api.alpaca.markets\\u0000"',
)


def seconds(name: str, default: str, *, may_be_0: bool) -> Key:
    return Key(
        name,
        default,
        ("1.5", "3", "86400", "0.001", *(["0", "0.0"] if may_be_0 else [])),
        NOT_NUMBERS,
        NEVER if may_be_0 else (*NEVER, "0", "0.0"),
    )


def count(name: str, default: str, *, most: int, least: int = 1) -> Key:
    return Key(
        name,
        default,
        (str(least), str(most)),
        NOT_INTEGERS,
        (str(least - 1), "-1", str(most + 1), "9" * 400),
    )


def path(name: str, default: str) -> Key:
    unusable = ('""', '"a\\u0000b"')
    return Key(name, default, ('"x"', '"a/b"'), NOT_STRINGS, unusable)


def url(name: str, default: str) -> Key:
    good = ('"https://example.org"', '"http://127.0.0.1:8000"')
    return Key(name, default, good, NOT_STRINGS, BAD_URLS, reloads=True)


def size(name: str, default: str) -> Key:
    return Key(
        name,
        default,
        ("1.0", "1", "50.1", "1234.56", "1_000_000"),
        NOT_NUMBERS,
        ("0.99", "0", "-50.0", "nan", "inf", "-inf", "9" * 400),
        reloads=True,
    )


NO_DEFAULT = ""  # the key is missing


def limit(name: str, good: str, *, dollars: bool, over: str = "9" * 400) -> Key:
    return Key(
        name,
        NO_DEFAULT,
        (good,),
        NOT_NUMBERS if not dollars else ('"5"', "true", "[]", "{}"),
        ("0", "-1", "nan", "inf", over),
        reloads=True,
    )


def limit_count(name: str, most: int = 1_000_000_000) -> Key:
    return Key(
        name,
        NO_DEFAULT,
        ("1", str(most)),
        NOT_INTEGERS,
        ("0", "-1", str(most + 1)),
        reloads=True,
    )


KEYS = (
    Key(
        "mode",
        '"paper"',
        ('"live"',),
        NOT_STRINGS,
        ('"Live"', '""', '"x"'),
        reloads=True,
    ),
    path("database", '"snexec.db"'),
    Key("alpaca.simulate", "true", ("false",), NOT_BOOLEANS, ()),
    url("alpaca.paper_url", '"https://paper-api.alpaca.markets"'),
    url("alpaca.live_url", '"https://api.alpaca.markets"'),
    count("alpaca.rate_limit_per_min", "200", most=1_000_000),
    seconds("alpaca.order_timeout_sec", "10.0", may_be_0=False),
    count("alpaca.warm_connections", "64", most=1000, least=0),
    seconds("alpaca.unknown_grace_sec", "60.0", may_be_0=True),
    seconds("alpaca.reconcile_interval_sec", "60.0", may_be_0=False),
    path("intake.socket", '"snexec.sock"'),
    Key(
        "intake.socket_mode",
        '"0600"',
        ('"0660"', '"660"'),
        NOT_STRINGS,
        ('""', '"0666"', '"0606"', '"0640"', '"0400"', '"rw"', '"1660"'),
    ),
    Key("intake.socket_group", NO_DEFAULT, ('"feeders"',), NOT_STRINGS, ('""',)),
    count("intake.max_pending", "1024", most=1_000_000),
    count("intake.max_in_flight", "64", most=10_000),
    seconds("intake.max_signal_age_sec", "30.0", may_be_0=False),
    seconds("intake.settle_timeout_sec", "30.0", may_be_0=True),
    seconds("intake.shutdown_timeout_sec", "10.0", may_be_0=True),
    seconds("stream.reconnect_delay_sec", "5.0", may_be_0=False),
    seconds("stream.restart_delay_sec", "0.1", may_be_0=True),
    Key("bot.enabled", "true", ("false",), NOT_BOOLEANS, (), reloads=True),
    Key(
        "bot.state",
        '"running"',
        ('"stopped"', '"paused"'),
        NOT_STRINGS,
        ('"Running"', '""'),
        reloads=True,
    ),
    size("bot.trade_size_stars3", "50.0"),
    size("bot.trade_size_stars4", "75.0"),
    size("bot.trade_size_stars5", "100.0"),
    seconds("metrics.stream_grace_sec", "60.0", may_be_0=True),
    Key("log.signals", "true", ("false",), NOT_BOOLEANS, ()),
    Key(
        "notify.events",
        '["fill","rejected","refused","missed","outage","unhealthy","mode","halt","lease",'
        '"exit_refused","exit_unknown","closed","exit_blocked","exits_blind","external",'
        '"split","oversold","limit","start","stop"]',
        ('["fill"]', "[]", '["partial_fill", "mode"]', '["exit", "exit_placed"]'),
        ('"fill"', "true", "1"),
        (),
    ),
    seconds("notify.outage_sec", "60.0", may_be_0=True),
    limit("bot.max_share_price", "5.5", dollars=True),
    limit("bot.daily_loss_limit_usd", "100", dollars=True),
    limit("bot.max_notional_per_day_usd", "0.01", dollars=True),
    limit("bot.max_float_shares", "20_000_000", dollars=False),
    limit("bot.min_relative_volume", "1.5", dollars=False),
    limit("bot.symbol_cooldown_sec", "0.5", dollars=False, over="86400.1"),
    limit_count("bot.max_concurrent_positions"),
    limit_count("bot.max_orders_per_minute", 10_000),
    limit_count("bot.max_orders_per_day"),
    limit_count("bot.halt_after_refusals"),
    Key("bot.require_market_open", "false", ("true",), NOT_BOOLEANS, (), reloads=True),
    Key(
        "bot.enabled_catalyst_tiers",
        NO_DEFAULT,
        ("[1]", "[4, 1]", "[1, 2, 3, 4]"),
        ("1", '"1"', "true", "{}"),
        ("[]", "[1, 1]"),
        reloads=True,
    ),
    Key(
        "bot.symbols_allowed",
        NO_DEFAULT,
        ('["AAPL"]', '["brk.b", "BTC/USD"]'),
        ("1", '"AAPL"', "true", "{}"),
        ("[]",),
        reloads=True,
    ),
    Key(
        "bot.symbols_blocked",
        NO_DEFAULT,
        ('["GME"]', "[]"),
        ("1", '"GME"', "true", "{}"),
        (),
        reloads=True,
    ),
    Key(
        "exchange.market_open",
        "true",
        ("false",),
        NOT_BOOLEANS,
        (),
    ),
    Key(
        "exchange.fill_delay_sec",
        "0.05",
        ("2.5", "0"),
        NOT_NUMBERS,
        ("-1", "nan", "inf"),
    ),
    Key(
        "exchange.partial_fill_ratio",
        "0.1",
        ("0.5", "0", "1"),
        NOT_NUMBERS,
        ("-0.1", "1.1", "nan", "inf"),
    ),
    Key(
        "exchange.rate_limit_per_min",
        "200",
        ("1", "1000"),
        NOT_INTEGERS,
        ("0", "-1"),
    ),
    count("http.per_minute", "60", most=100_000),
)
WITHOUT_DEFAULT = (
    "alpaca.api_key",
    "alpaca.api_secret",
    "exchange.seed",
    "exchange.symbols",
    "http.enabled",  # with tokens and a place only: test_http
    "http.listen",
    "http.tokens",
    "http.trusted_proxy",
    "exits",  # None; its own keys are in test_exits
    "redis",  # likewise, in test_redis
    "metrics.listen",
    "notify.command",
    "notify.daily_at",  # with one of these two only
    "notify.webhook",
    "page",  # None; its own keys are in test_page
    "bot.min_win_rate",  # these two go together
    "bot.min_win_rate_trades",
)
BY_NAME = pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)


def each(attribute: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("key", "literal"),
        [(key, literal) for key in KEYS for literal in getattr(key, attribute)],
        ids=lambda value: value.name if isinstance(value, Key) else value[:40],
    )
