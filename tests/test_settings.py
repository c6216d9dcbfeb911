"""The config file and the environment, and what is said about their faults."""

import json
import tomllib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from snexec.errors import ConfigError
from snexec.model import MODES, Mode, to_cents
from snexec.settings import (
    BotSettings,
    Credentials,
    Settings,
    changed_keys,
    credentials_for,
    keys_lie_open,
    load_settings,
    reloadable,
    with_reloaded,
)

ROOT = Path(__file__).parent.parent

SAMPLE = """\
mode = "paper"                      # paper | live
database = "snexec.db"

[alpaca]
simulate = true                     # both modes are answered by the built-in exchange
paper_url = "https://paper-api.alpaca.markets"
live_url = "https://api.alpaca.markets"
rate_limit_per_min = 200            # until the broker's own headers say otherwise
order_timeout_sec = 10.0
unknown_grace_sec = 60.0
reconcile_interval_sec = 60.0

[intake]
socket = "snexec.sock"
max_pending = 1024                  # signals waiting for an order slot
max_in_flight = 64                  # orders being placed at once
max_signal_age_sec = 30.0           # an older signal is not traded
settle_timeout_sec = 30.0           # --stdin: how long to wait for orders to settle
shutdown_timeout_sec = 10.0

[stream]
reconnect_delay_sec = 5.0
restart_delay_sec = 0.1

[bot]
enabled = true
state = "running"                   # stopped | running | paused
trade_size_stars3 = 50.0            # dollars per order
trade_size_stars4 = 75.0
trade_size_stars5 = 100.0
"""


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
    Key(
        "notify.events",
        '["fill","rejected","refused","missed","outage","unhealthy","mode","halt"]',
        ('["fill"]', "[]", '["partial_fill", "mode"]'),
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
)
WITHOUT_DEFAULT = (
    "alpaca.api_key",
    "alpaca.api_secret",
    "exchange.seed",
    "exchange.symbols",
    "metrics.listen",
    "notify.command",
    "notify.webhook",
    "bot.min_win_rate",  # these two go together
    "bot.min_win_rate_trades",
)
SHIPPED_LIMITS = {
    "bot.enabled_catalyst_tiers",
    "bot.max_share_price",
    "bot.require_market_open",
    "bot.max_concurrent_positions",
    "bot.daily_loss_limit_usd",
    "bot.min_win_rate",
    "bot.min_win_rate_trades",
    "bot.symbol_cooldown_sec",
    "bot.max_orders_per_minute",
    "bot.max_orders_per_day",
    "bot.max_notional_per_day_usd",
    "bot.halt_after_refusals",
}
COMMENTED_LIMITS = {
    "bot.symbols_allowed",
    "bot.symbols_blocked",
    "bot.max_float_shares",
    "bot.min_relative_volume",
}
BY_NAME = pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)


def each(attribute: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("key", "literal"),
        [(key, literal) for key in KEYS for literal in getattr(key, attribute)],
        ids=lambda value: value.name if isinstance(value, Key) else value[:40],
    )


def value_of(literal: str) -> Any:  # noqa: ANN401 - whatever TOML holds
    return tomllib.loads(f"x = {literal}")["x"]


def read(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


class ConfigFile:
    """A config file to be written over and over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, text: str) -> Settings:
        self.path.write_text(text, encoding="utf-8")
        return load_settings(self.path)

    def refusal(self, text: str | bytes) -> str:
        """Return what is said of a file, without its own name."""
        data = text if isinstance(text, bytes) else text.encode()
        self.path.write_bytes(data)
        with pytest.raises(ConfigError) as caught:
            load_settings(self.path)
        said = str(caught.value)
        assert said.startswith(f"{self.path}: ")
        return said.removeprefix(f"{self.path}: ")


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    return ConfigFile(tmp_path / "config.toml")


# The shape of the file --------------------------------------------------------------


def names_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, info in model.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names += names_of(section, f"{name}.")
        else:
            names.append(prefix + name)
    return names


def test_every_key_is_tested_here() -> None:
    tested = {key.name for key in KEYS} | set(WITHOUT_DEFAULT)

    assert sorted(names_of(Settings)) == sorted(tested)


def test_the_sample_of_the_contract_holds_the_defaults(file: ConfigFile) -> None:
    assert file.load(SAMPLE) == file.load("")


def test_the_shipped_file_validates_and_simulates() -> None:
    settings = load_settings(ROOT / "config.toml")

    assert settings.mode == "paper"
    assert settings.alpaca.simulate
    assert settings.alpaca.api_key is None


def test_the_shipped_file_holds_the_defaults_but_for_the_exchange() -> None:
    settings = load_settings(ROOT / "config.toml")
    names = changed_keys(settings, Settings())

    assert {n for n in names if not n.startswith("exchange")} == {
        "database",  # a path that is absolute once loaded
        "intake.socket",
        *SHIPPED_LIMITS,
    }


def test_the_shipped_file_shows_every_limit() -> None:
    text = (ROOT / "config.toml").read_text()
    shown = {
        f"bot.{line.lstrip('# ').partition(' ')[0]}"
        for line in text.splitlines()
        if " = " in line
    }

    assert shown >= SHIPPED_LIMITS | COMMENTED_LIMITS
    limits = SHIPPED_LIMITS | COMMENTED_LIMITS
    assert {f"bot.{name}" for name in BotSettings.model_fields} - limits == {
        "bot.enabled",
        "bot.state",
        "bot.trade_size_stars3",
        "bot.trade_size_stars4",
        "bot.trade_size_stars5",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_win_rate = 0.5", "bot: min_win_rate and min_win_rate_trades go together"),
        (
            "min_win_rate_trades = 5",
            "bot: min_win_rate and min_win_rate_trades go together",
        ),
        (
            "min_win_rate = 1.1\nmin_win_rate_trades = 5",
            "bot.min_win_rate: Input should be less than or equal to 1 (got 1.1)",
        ),
        (
            "min_win_rate = 0.5\nmin_win_rate_trades = 0",
            "bot.min_win_rate_trades: Input should be greater than or equal to 1"
            " (got 0)",
        ),
        (
            "enabled_catalyst_tiers = [1, 5]",
            "bot.enabled_catalyst_tiers.1: Input should be less than or equal to 4"
            " (got 5)",
        ),
        (
            "enabled_catalyst_tiers = [2, 2]",
            "bot.enabled_catalyst_tiers: must not name a tier twice (got [2, 2])",
        ),
        (
            'symbols_allowed = ["../X"]',
            "bot.symbols_allowed.0: must be 1 to 15 characters: groups of A-Z 0-9"
            " joined by single . - or / (got '../X')",
        ),
        (
            "symbols_blocked = [1]",
            "bot.symbols_blocked.0: Input should be a valid string (got 1)",
        ),
        (
            "symbols_allowed = []",
            "bot.symbols_allowed: must not be empty: leave the key out for no limit"
            " (got [])",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_name(
    file: ConfigFile, text: str, said: str
) -> None:
    assert file.refusal(f"[bot]\n{text}") == said


def test_a_win_rate_has_both_its_keys(file: ConfigFile) -> None:
    bot = file.load("[bot]\nmin_win_rate = 0\nmin_win_rate_trades = 20").bot

    assert (bot.min_win_rate, bot.min_win_rate_trades) == (0, 20)


@BY_NAME
def test_a_key_that_is_missing_has_its_default(file: ConfigFile, key: Key) -> None:
    section = key.name.split(".")[0]

    for text in ("", f"[{section}]" if "." in key.name else ""):
        default = read(file.load(text), key.name)
        assert default == read(file.load(key.file(key.default)), key.name)


@each("good")
def test_a_value_that_may_be_is_taken(file: ConfigFile, key: Key, literal: str) -> None:
    settings = file.load(key.file(literal))

    value = read(settings, key.name)
    given = value_of(literal)
    if key.name in {"database", "intake.socket"}:
        assert value == str(file.path.parent / given)
    elif isinstance(value, Decimal):
        assert value == Decimal(str(given))
    elif isinstance(value, frozenset):
        assert value == {symbol.upper() for symbol in given}
    else:
        assert value == given


@each("wrong_types")
def test_a_value_of_another_type_is_refused_by_its_name(
    file: ConfigFile, key: Key, literal: str
) -> None:
    said = file.refusal(key.file(literal))

    assert said.startswith(f"{key.name}: ")
    if literal != "{}":  # a table may hold secrets
        assert repr(value_of(literal)).lower() in said.lower()


@each("out_of_range")
def test_a_value_that_may_not_be_is_refused_by_its_name(
    file: ConfigFile, key: Key, literal: str
) -> None:
    said = file.refusal(key.file(literal))

    assert said.startswith(f"{key.name}: ")
    assert repr(value_of(literal)).lower() in said.lower()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("modes = 1", "modes"),
        ("Mode = 'paper'", "Mode"),
        ("[alpaca]\nurl = 'x'", "alpaca.url"),
        ("[intake]\nmax_pendings = 1", "intake.max_pendings"),
        ("[stream]\nurl = 'x'", "stream.url"),
        ("[bot]\ntrade_size_stars2 = 1", "bot.trade_size_stars2"),
        ("[exchange]\nport = 1", "exchange.port"),
        ("[exchange.symbols.X]\nfoo = 1", "exchange.symbols.X.foo"),
        ("[bots]\nenabled = true", "bots"),
    ],
)
def test_an_unknown_key_is_refused_by_its_name(
    file: ConfigFile, text: str, name: str
) -> None:
    assert file.refusal(text) == f"{name}: is not a known key"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[exchange]\nseed = 'x'", "exchange.seed"),
        ("[exchange]\nseed = 1.5", "exchange.seed"),
        ("[exchange]\nsymbols = 1", "exchange.symbols"),
        ("[exchange.symbols]\nX = 1", "exchange.symbols.X"),
        ("[exchange.symbols.X]\nreject = 'no way'", "exchange.symbols.X.reject"),
        ("[exchange.symbols.X]\nreject = 1", "exchange.symbols.X.reject"),
        ("[exchange.symbols.X]\nrefuse = 399", "exchange.symbols.X.refuse"),
        ("[exchange.symbols.X]\nrefuse = 600", "exchange.symbols.X.refuse"),
        ("[exchange.symbols.X]\nrefuse = '403'", "exchange.symbols.X.refuse"),
        ("[exchange.symbols.X]\nlose = 'it'", "exchange.symbols.X.lose"),
        ("[exchange.symbols.X]\ntimes = -1", "exchange.symbols.X.times"),
    ],
)
def test_a_fault_of_the_exchange_is_refused_by_its_name(
    file: ConfigFile, text: str, name: str
) -> None:
    assert file.refusal(text).startswith(f"{name}: ")


def test_a_symbols_behaviour_is_read(file: ConfigFile) -> None:
    settings = file.load("[exchange.symbols.X]\nrefuse = 403\ntimes = 2")

    assert settings.exchange.symbols["X"].refuse == 403
    assert settings.exchange.symbols["X"].times == 2


@pytest.mark.parametrize("name", ["alpaca", "intake", "stream", "bot", "exchange"])
@pytest.mark.parametrize("literal", ["1", '"x"', "true", "[]", "[{}]"])
def test_a_section_must_be_a_table(file: ConfigFile, name: str, literal: str) -> None:
    assert file.refusal(f"{name} = {literal}") == f"{name}: must be a [{name}] table"


def test_every_fault_is_named_at_once(file: ConfigFile) -> None:
    said = file.refusal("mode = 1\n[bot]\nenabled = 1\n[intake]\nmax_pending = 0")

    assert [part.split(":")[0] for part in said.split("; ")] == [
        "mode",
        "intake.max_pending",
        "bot.enabled",
    ]


def test_settings_cannot_be_changed(file: ConfigFile) -> None:
    settings = file.load("")

    with pytest.raises(ValidationError, match="frozen"):
        settings.mode = "live"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.bot.enabled = False  # type: ignore[misc]


def test_each_mode_has_its_own_base_url(file: ConfigFile) -> None:
    settings = file.load(
        '[alpaca]\npaper_url = "https://p.example"\nlive_url = "https://l.example"'
    )

    assert settings.base_url("paper") == "https://p.example"
    assert settings.base_url("live") == "https://l.example"


def test_the_simulated_exchange_has_the_limit_that_the_daemon_starts_from(
    file: ConfigFile,
) -> None:
    settings = file.load(
        "[alpaca]\nrate_limit_per_min = 7\n"
        "[exchange]\nrate_limit_per_min = 300\nfill_delay_sec = 0.5\n"
    )

    simulated = settings.simulated_exchange()

    assert simulated.rate_limit_per_min == 7
    assert simulated.fill_delay_sec == 0.5


@pytest.mark.parametrize(
    ("literal", "notional"),
    [("50.1", "50.10"), ("0.1e2", "10.00"), ("33.339", "33.33"), ("1.1", "1.10")],
)
def test_dollars_are_what_was_written_and_not_the_float_beside_it(
    file: ConfigFile, literal: str, notional: str
) -> None:
    settings = file.load(f"[bot]\ntrade_size_stars5 = {literal}")

    assert str(to_cents(settings.bot.dollars(5))) == notional


# The file itself --------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"

    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(caught.value) == f"{path}: No such file or directory"


def test_a_directory_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert str(caught.value) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode = ", "Invalid value (at end of document)"),
        ('mode = "paper"\nmode = "live"', "Cannot overwrite a value"),
        ("mode = null", "Invalid value (at line 1, column 8)"),
        ("mode = paper", "Invalid value (at line 1, column 8)"),
        ("\0", "Invalid statement"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_place(
    file: ConfigFile, text: str, said: str
) -> None:
    assert said in file.refusal(text)


def test_what_is_no_utf_8_is_refused(file: ConfigFile) -> None:
    assert "can't decode byte 0xff" in file.refusal(b'mode = "\xff"')


def test_nested_brackets_are_refused_like_any_other_text(file: ConfigFile) -> None:
    assert file.refusal("x = " + "[" * 10_000 + "]" * 10_000) != ""


def test_an_integer_of_too_many_digits_is_refused(file: ConfigFile) -> None:
    assert file.refusal("[intake]\nmax_pending = " + "9" * 5_000) != ""


# Paths ------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file_and_not_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "config.toml"
    path.write_text('database = "data/x.db"\n[intake]\nsocket = "x.sock"')
    monkeypatch.chdir(tmp_path)

    settings = load_settings(Path("etc/config.toml"))

    assert settings.database == str(tmp_path / "etc" / "data" / "x.db")
    assert settings.intake.socket == str(tmp_path / "etc" / "x.sock")


def test_absolute_paths_stay(file: ConfigFile) -> None:
    settings = file.load('database = "/var/x.db"\n[intake]\nsocket = "/run/x.sock"')

    assert settings.database == "/var/x.db"
    assert settings.intake.socket == "/run/x.sock"


@pytest.mark.parametrize("letter", ["x", "ä"])  # of one byte, and of two
def test_a_socket_path_of_107_bytes_is_the_longest(
    file: ConfigFile, letter: str
) -> None:
    longest = 107 - len("/run/")
    name = letter * (longest // len(letter.encode()))
    name += "x" * (longest - len(name.encode()))

    assert file.load(f'[intake]\nsocket = "/run/{name}"').intake.socket[5:] == name
    said = file.refusal(f'[intake]\nsocket = "/run/{name}x"')
    assert said == (
        f"intake.socket: /run/{name}x is longer than the 107 bytes that a Unix"
        " socket's path may have"
    )


# URLs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    [
        "http://localhost",
        "http://localhost:8000",
        "http://127.0.0.1",
        "http://127.0.0.1:8000/paper",
        "http://127.255.255.254",
        "http://[::1]:8000",
    ],
)
@pytest.mark.parametrize("key", ["paper_url", "live_url"])
def test_http_is_for_loopback_hosts(file: ConfigFile, key: str, good: str) -> None:
    settings = file.load(f'[alpaca]\n{key} = "{good}"')

    assert getattr(settings.alpaca, key) == good


@pytest.mark.parametrize(
    "bad",
    [
        "http://api.alpaca.markets",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://128.0.0.1",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://example.org/127.0.0.1",
        "http://2130706433",
        "HTTP://api.alpaca.markets",
    ],
)
def test_http_is_for_no_other_host(file: ConfigFile, bad: str) -> None:
    said = file.refusal(f'[alpaca]\npaper_url = "{bad}"')

    assert said == (
        "alpaca.paper_url: must be https:// (http:// is for loopback hosts only)"
        f" (got '{bad}')"
    )


def test_a_host_before_an_at_sign_is_no_loopback_host(file: ConfigFile) -> None:
    said = file.refusal('[alpaca]\npaper_url = "http://127.0.0.1@example.org"')

    assert said.startswith("alpaca.paper_url: ")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HTTPS://api.alpaca.markets", "https://api.alpaca.markets"),
        ("Http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://LOCALHOST:8000/Paper", "http://localhost:8000/Paper"),
    ],
)
def test_the_case_of_scheme_and_host_does_not_count(
    file: ConfigFile, given: str, meant: str
) -> None:
    # The stream's URL is made of this one, and knows lower case only.
    settings = file.load(f'[alpaca]\nlive_url = "{given}"')

    assert settings.base_url("live") == meant


def test_a_slash_at_the_end_of_a_url_does_not_count(file: ConfigFile) -> None:
    settings = file.load('[alpaca]\npaper_url = "https://example.org/api/"')

    assert settings.base_url("paper") == "https://example.org/api"


# Keys and secrets -------------------------------------------------------------------

IN_FILE = '[alpaca]\napi_key = "file-key"\napi_secret = "file-secret"\n'
COMMON = {"APCA_API_KEY_ID": "env-key", "APCA_API_SECRET_KEY": "env-secret"}
PAPER = {
    "APCA_PAPER_API_KEY_ID": "paper-key",
    "APCA_PAPER_API_SECRET_KEY": "paper-secret",
}
LIVE = {
    "APCA_LIVE_API_KEY_ID": "live-key",
    "APCA_LIVE_API_SECRET_KEY": "live-secret",
}
EMPTY = dict.fromkeys([*COMMON, *PAPER, *LIVE], "")


@pytest.mark.parametrize(
    ("text", "environ", "paper", "live"),
    [
        ("", {}, None, None),
        ("", EMPTY, None, None),
        (IN_FILE, {}, "file", "file"),
        (IN_FILE, EMPTY, "file", "file"),
        ("", COMMON, "env", "env"),
        ("", PAPER, "paper", None),
        ("", LIVE, None, "live"),
        ("", PAPER | LIVE, "paper", "live"),
        ("", COMMON | PAPER, "paper", "env"),
        ("", COMMON | LIVE, "env", "live"),
        (IN_FILE, COMMON, "env", "env"),
        (IN_FILE, PAPER, "paper", "file"),
        (IN_FILE, LIVE, "file", "live"),
        (IN_FILE, COMMON | PAPER | LIVE, "paper", "live"),
        (IN_FILE, COMMON | dict.fromkeys(PAPER, ""), "env", "env"),
    ],
)
def test_a_modes_own_variables_win_over_the_common_ones_and_these_over_the_file(
    file: ConfigFile,
    text: str,
    environ: Mapping[str, str],
    paper: str | None,
    live: str | None,
) -> None:
    settings = file.load(text)

    for mode, source in zip(MODES, (paper, live), strict=True):
        found = credentials_for(mode, settings, environ)
        pair = found.values() if found else None
        assert pair == (source and (f"{source}-key", f"{source}-secret"))


@pytest.mark.parametrize(
    ("environ", "mode", "missing"),
    [
        (pair | {missing: nothing}, mode, missing)
        for pair, modes in ((COMMON, MODES), (PAPER, ["paper"]), (LIVE, ["live"]))
        for missing in pair
        for mode in modes
        for nothing in ("", None)
    ],
)
def test_half_a_pair_is_refused_by_the_name_that_is_missing(
    file: ConfigFile, environ: Mapping[str, str | None], mode: Mode, missing: str
) -> None:
    given = {name: value for name, value in environ.items() if value is not None}

    with pytest.raises(ConfigError) as caught:
        credentials_for(mode, file.load(IN_FILE), given)
    assert str(caught.value) == (f"environment: {missing}: is not set, and its twin is")


def test_half_a_pair_of_another_mode_is_not_looked_at(file: ConfigFile) -> None:
    environ = COMMON | {"APCA_LIVE_API_KEY_ID": "live-key"}

    found = credentials_for("paper", file.load(""), environ)

    assert found is not None
    assert found.values() == ("env-key", "env-secret")


@pytest.mark.parametrize("line", ['api_key = "hush"', 'api_secret = "hush"'])
def test_half_a_pair_in_the_file_is_refused(file: ConfigFile, line: str) -> None:
    said = file.refusal(f"[alpaca]\n{line}")

    assert said == "alpaca: api_key and api_secret go together"


UNSENDABLE = ["hush\n", " hush", "hu hush", "hushä", "hush\x7f"]


@pytest.mark.parametrize("bad", UNSENDABLE)
@pytest.mark.parametrize("name", COMMON)
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(
    file: ConfigFile, name: str, bad: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        credentials_for("paper", file.load(""), COMMON | {name: bad})

    assert str(caught.value) == (
        f"environment: {name}: must be printable ASCII without spaces"
    )
    assert_hidden(caught.value)


def assert_hidden(error: Exception) -> None:
    told = "".join(traceback.format_exception(error))
    assert "hush" not in told
    assert "hush" not in repr(error)


@pytest.mark.parametrize(
    "text",
    [
        '[alpaca]\napi_key = "hush"',
        '[alpaca]\napi_key = ["hush"]\napi_secret = "x"',
        '[alpaca]\napi_key = {x = "hush"}\napi_secret = "x"',
        '[alpaca]\napi_key = "x"\napi_secret = {api = {x = "hush"}}',
        '[alpaca]\napi_key = "hu hush"\napi_secret = "hush\\n"',
        '[alpaca]\napi_key = ""\napi_secret = "hush"',
        '[alpaca]\napi_key = "hush"\napi_secret = "hush"\nsimulate = 1',
        '[alpaca]\nkey = "hush"',
        '[alpaca]\nAPI_KEY = "hush"',
        '[alpaca]\nsimulate = {api_key = "hush"}',
        '[[alpaca]]\napi_key = "hush"',
        'alpaca = "hush"',
        'api_key = "hush"\napi_secret = "hush"',
        '[bot]\napi_secret = "hush"',
        '[keys]\napi_secret = "hush"',
        '[alpaca]\napi_key = "hush\nx',
    ],
)
def test_no_fault_of_the_file_shows_a_secret(file: ConfigFile, text: str) -> None:
    file.path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_settings(file.path)
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        "https://me:hush@example.org",
        "https://hush@example.org",
        "https://me:hush/hush@example.org",
        "https://me:hush@@example.org",
        "http://me:hush@127.0.0.1",
        "ftp://me:hush@example.org",
        "https://me:hush@example.org:x",
        "https://me:hu#hush@example.org",
        "https://me:hu?hush@example.org",
    ],
)
def test_a_url_with_a_password_is_refused_and_shows_none(
    file: ConfigFile, bad: str
) -> None:
    file.path.write_text(f'[alpaca]\nlive_url = "{bad}"')

    with pytest.raises(ConfigError, match=r"alpaca\.live_url: ") as caught:
        load_settings(file.path)
    assert_hidden(caught.value)


def test_settings_and_credentials_never_show_a_secret(file: ConfigFile) -> None:
    settings = file.load('[alpaca]\napi_key = "hush"\napi_secret = "hush"')
    found = credentials_for("paper", settings, {})

    assert found == Credentials.model_validate({"key": "hush", "secret": "hush"})
    for shown in (
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        repr(found),
        str(found),
        json.dumps(settings.model_dump(mode="json")),
    ):
        assert "hush" not in shown


@pytest.mark.parametrize(
    ("permissions", "open_to_others"),
    [
        (0o600, False),
        (0o400, False),
        (0o620, False),  # a group that writes cannot read
        (0o640, True),
        (0o604, True),
        (0o644, True),
    ],
)
def test_keys_lie_open_in_a_file_that_others_can_read(
    file: ConfigFile, permissions: int, open_to_others: bool
) -> None:
    settings = file.load(IN_FILE)
    file.path.chmod(permissions)

    assert keys_lie_open(file.path, settings) is open_to_others


def test_a_file_without_keys_may_be_read_by_anyone(file: ConfigFile) -> None:
    settings = file.load("")
    file.path.chmod(0o644)

    assert not keys_lie_open(file.path, settings)


# Metrics and notifications ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),  # noqa: S104 - somebody may want it
    ],
)
def test_metrics_listen_names_a_host_and_a_port(
    file: ConfigFile, given: str, where: tuple[str, int]
) -> None:
    settings = file.load(f'[metrics]\nlisten = "{given}"')

    assert settings.metrics.host_and_port() == where
    assert not reloadable("metrics.listen")


@pytest.mark.parametrize(
    "bad", ["", "9464", ":9464", "127.0.0.1", "host:", "h:x", "h:65536", "h:-1",
            "::1:9464", "[]:1", "h:\uff19"],
)  # fmt: skip
def test_a_bad_address_of_metrics_is_refused_by_its_key(
    file: ConfigFile, bad: str
) -> None:
    said = file.refusal(f'[metrics]\nlisten = "{bad}"')

    assert said.startswith('metrics.listen: must be "host:port"')


def test_a_port_that_is_a_number_is_refused(file: ConfigFile) -> None:
    assert file.refusal("[metrics]\nlisten = 9464").startswith("metrics.listen: ")


def test_metrics_and_notifications_are_off_by_default(file: ConfigFile) -> None:
    settings = file.load("")

    assert settings.metrics.host_and_port() is None
    assert not settings.notify.is_on
    assert not file.load('[notify]\ncommand = ["x"]\nevents = []').notify.is_on
    assert file.load('[notify]\ncommand = ["x"]').notify.is_on


@pytest.mark.parametrize(
    "good",
    ["https://example.org/hush7", "http://127.0.0.1:8000/hush7", "https://u:hush@x/"],
)
def test_a_webhook_is_https_or_loopback_and_is_not_shown(
    file: ConfigFile, good: str
) -> None:
    settings = file.load(f'[notify]\nwebhook = "{good}"')

    assert settings.notify.is_on
    assert "hush" not in repr(settings)
    assert any("hush" in secret for secret in settings.notify.secrets())
    file.path.chmod(0o644)
    assert keys_lie_open(file.path, settings)


@pytest.mark.parametrize(
    "bad",
    ["", "http://example.org/hush", "ftp://127.0.0.1/hush", "https:///hush",
     "https://x:0/hush", "https://x y/hush", "https://x:port/hush", "hush"],
)  # fmt: skip
def test_a_bad_webhook_is_refused_and_not_shown(file: ConfigFile, bad: str) -> None:
    said = file.refusal(f'[notify]\nwebhook = "{bad}"')

    assert said.startswith("notify.webhook: must be ")
    assert "hush" not in said


@pytest.mark.parametrize("bad", ["[]", '"hush"', "[1]", '["hush", 2]', '["a\\u0000"]'])
def test_a_bad_command_is_refused_and_not_shown(file: ConfigFile, bad: str) -> None:
    said = file.refusal(f"[notify]\ncommand = {bad}")

    assert said.startswith("notify.command")
    assert "hush" not in said


def test_an_event_that_does_not_exist_is_refused_by_its_place(
    file: ConfigFile,
) -> None:
    said = file.refusal('[notify]\nevents = ["fill", "fil"]')

    assert said.startswith("notify.events.1: Input should be 'fill', 'partial_fill',")


# Credentials of the service manager --------------------------------------------------


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def put(folder: Path, values: Mapping[str, str], ending: str = "") -> dict[str, str]:
    """Put credentials down, and return the environment that names their folder."""
    for name, value in values.items():
        (folder / name).write_text(value + ending)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
@pytest.mark.parametrize("small", [False, True])
def test_keys_come_from_credentials_without_their_last_newline(
    file: ConfigFile, credentials: Path, ending: str, small: bool
) -> None:
    values = {name.lower() if small else name: value for name, value in PAPER.items()}
    environ = put(credentials, values, ending)

    found = credentials_for("paper", file.load(IN_FILE), environ)
    other = credentials_for("live", file.load(IN_FILE), environ)

    assert found is not None
    assert found.values() == ("paper-key", "paper-secret")
    assert other is not None
    assert other.values() == ("file-key", "file-secret")


def test_the_environment_wins_over_a_credential_of_the_same_name(
    file: ConfigFile, credentials: Path
) -> None:
    environ = put(credentials, dict.fromkeys(COMMON, "credential")) | COMMON

    found = credentials_for("paper", file.load(""), environ)

    assert found is not None
    assert found.values() == ("env-key", "env-secret")


def test_a_modes_own_credential_wins_over_the_common_variables(
    file: ConfigFile, credentials: Path
) -> None:
    found = credentials_for("live", file.load(""), put(credentials, LIVE) | COMMON)

    assert found is not None
    assert found.values() == ("live-key", "live-secret")


def test_a_key_from_the_environment_may_have_its_secret_from_a_credential(
    file: ConfigFile, credentials: Path
) -> None:
    environ = put(credentials, {"APCA_API_SECRET_KEY": "kept"})
    environ["APCA_API_KEY_ID"] = "known"

    found = credentials_for("paper", file.load(""), environ)

    assert found is not None
    assert found.values() == ("known", "kept")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("hush hush", "must be printable ASCII without spaces"),
        ("hush\n\n", "must be printable ASCII without spaces"),
        ("hush" * 2000, "credential APCA_API_SECRET_KEY: is too long for a key"),
        ("", "environment or credentials: APCA_API_SECRET_KEY: is not set"),
    ],
)
def test_a_credential_that_is_no_key_is_refused_and_not_shown(
    file: ConfigFile, credentials: Path, content: str, problem: str
) -> None:
    put(credentials, {"APCA_API_KEY_ID": "key"})
    environ = put(credentials, {"APCA_API_SECRET_KEY": content})

    with pytest.raises(ConfigError) as caught:
        credentials_for("paper", file.load(""), environ)

    assert problem in str(caught.value)
    assert_hidden(caught.value)


def test_a_credential_that_cannot_be_read_is_named(
    file: ConfigFile, credentials: Path
) -> None:
    (credentials / "apca_api_key_id").mkdir()

    with pytest.raises(ConfigError) as caught:
        credentials_for(
            "paper", file.load(""), {"CREDENTIALS_DIRECTORY": str(credentials)}
        )

    assert str(caught.value) == "credential apca_api_key_id: Is a directory"


# What SIGHUP applies ----------------------------------------------------------------


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


def test_the_words_of_a_webhooks_service_are_no_secrets(file: ConfigFile) -> None:
    url = (
        "https://discord.com/api/webhooks/123456789012/aB3dE5fG7hJ9"
        "?thread_name=trade_updates&token=k1l2m3n4"
    )
    secrets = file.load(f'[notify]\nwebhook = "{url}"').notify.secrets()
    assert {url, "123456789012", "aB3dE5fG7hJ9", "k1l2m3n4"} <= secrets
    assert not secrets & {"webhooks", "thread_name", "trade_updates", "discord.com"}
