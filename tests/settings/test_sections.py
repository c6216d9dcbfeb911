"""The sections: every key, its default, and what may stand in it."""

import tomllib
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from snexec.settings.changes import reloadable
from snexec.settings.sections import BotSettings, Settings
from tests.settings.conftest import ConfigFile
from tests.settings.keys import BY_NAME, KEYS, WITHOUT_DEFAULT, Key, each


def value_of(literal: str) -> Any:  # noqa: ANN401 - whatever TOML holds
    return tomllib.loads(f"x = {literal}")["x"]


def read(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


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
            'bot.symbols_allowed: must not be empty: "off" is no limit (got [])',
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


SWITCHES = {"enabled", "state"}  # which say what they are
SIZES = {f"trade_size_stars{stars}" for stars in (3, 4, 5)}


@pytest.mark.parametrize("name", sorted({*BotSettings.model_fields} - SWITCHES - SIZES))
def test_every_limit_may_be_said_to_be_off(file: ConfigFile, name: str) -> None:
    bot = file.load(f'[bot]\n{name} = "off"').bot

    assert bot == file.load("").bot
    assert bot.model_fields_set == {name}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_trades_size_is_never_off(file: ConfigFile, name: str) -> None:
    assert file.refusal(f'[bot]\n{name} = "off"').startswith(f"bot.{name}: ")


@pytest.mark.parametrize("name", ["symbols_blocked", "require_market_open"])
@pytest.mark.parametrize("word", ["Off", "OFF", " off", "none", ""])
def test_no_other_word_is_off(file: ConfigFile, name: str, word: str) -> None:
    assert file.refusal(f'[bot]\n{name} = "{word}"').startswith(f"bot.{name}: ")


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


def test_a_symbol_that_misbehaves_is_named_in_any_spelling(file: ConfigFile) -> None:
    settings = file.load(
        '[exchange.symbols."BTCUSD"]\nreject = true\n'
        '[exchange.symbols."brk/b"]\nreject = true\n'
        '[exchange.symbols."ETH/BTC"]\nreject = true\n'
    )

    assert set(settings.exchange.symbols) == {"BTC/USD", "BRK.B", "ETH/BTC"}


def test_a_symbol_that_misbehaves_in_two_ways_is_refused(file: ConfigFile) -> None:
    refusal = file.refusal(
        '[exchange.symbols."BRK/B"]\nreject = true\n'
        '[exchange.symbols."BRK-B"]\nrefuse = 403\n'
    )

    assert refusal.startswith(
        "exchange: symbols.BRK-B: BRK.B is named twice, in two spellings"
    )


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


@pytest.mark.parametrize("line", ['api_key = "hush"', 'api_secret = "hush"'])
def test_half_a_pair_in_the_file_is_refused(file: ConfigFile, line: str) -> None:
    said = file.refusal(f"[alpaca]\n{line}")

    assert said == "alpaca: api_key and api_secret go together"


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


def test_metrics_and_notifications_are_off_by_default(file: ConfigFile) -> None:
    settings = file.load("")

    assert settings.metrics.host_and_port() is None
    assert not settings.notify.is_on
    assert not file.load('[notify]\ncommand = ["x"]\nevents = []').notify.is_on
    assert file.load('[notify]\ncommand = ["x"]').notify.is_on


def test_the_days_report_is_sent_to_somebody_at_a_time_of_day(
    file: ConfigFile,
) -> None:
    somebody = '[notify]\ncommand = ["x"]\nevents = []\n'
    assert file.load(f'{somebody}daily_at = "16:15"').notify.is_on
    for wrong in (
        '"24:00"',
        '"4:15"',
        '"16:15:00"',
        '"16:60"',
        '"4 pm"',
        "16.15",
        "16:15:00",
    ):
        said = file.refusal(f"{somebody}daily_at = {wrong}")
        assert said.startswith("notify.daily_at"), said
    said = file.refusal('[notify]\ndaily_at = "16:15"')
    assert said == "notify: daily_at needs a command or a webhook to send it to"


def test_an_event_that_does_not_exist_is_refused_by_its_place(
    file: ConfigFile,
) -> None:
    said = file.refusal('[notify]\nevents = ["fill", "fil"]')

    assert said.startswith("notify.events.1: Input should be 'fill', 'partial_fill',")


def test_the_words_of_a_webhooks_service_are_no_secrets(file: ConfigFile) -> None:
    url = (
        "https://discord.com/api/webhooks/123456789012/aB3dE5fG7hJ9"
        "?thread_name=trade_updates&token=k1l2m3n4"
    )
    secrets = file.load(f'[notify]\nwebhook = "{url}"').notify.secrets()
    assert {url, "123456789012", "aB3dE5fG7hJ9", "k1l2m3n4"} <= secrets
    assert not secrets & {"webhooks", "thread_name", "trade_updates", "discord.com"}


def test_the_tokens_in_a_command_are_secrets_and_its_program_is_none(
    file: ConfigFile,
) -> None:
    command = '["apprise", "-b", "tgram://123456789:aB3dE5fG7h/chat", "--config=v2"]'
    notify = file.load(f"[notify]\ncommand = {command}").notify
    assert notify.secrets() == {"123456789", "aB3dE5fG7h"}


def test_a_part_of_a_webhooks_address_is_no_secret_and_one_of_its_token_is(
    file: ConfigFile,
) -> None:
    url = "https://user:pa55word@hooks.example/services/aB3dE5fG7hJ9"
    notify = file.load(f'[notify]\nwebhook = "{url}"').notify
    assert notify.tokens() == {"pa55word", "aB3dE5fG7hJ9"}
    assert notify.secrets() >= {url, *notify.tokens()}
