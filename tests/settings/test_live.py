"""The settings in force: what SIGHUP applies to them, and what it leaves."""

from decimal import Decimal
from pathlib import Path

import pytest

from snexec.errors import ConfigError
from snexec.logs.mask import SecretMask
from snexec.settings.live import LiveSettings, Reload
from snexec.settings.load import parse_config
from snexec.settings.sections import BotSettings, Settings
from tests.settings.conftest import IN_FILE, ConfigFile

ALL_SECRETS = (
    IN_FILE + '[notify]\nwebhook = "https://hooks.example.com/T0K3N-in-the-path"\n'
)


@pytest.fixture
def mask() -> SecretMask:
    return SecretMask()


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
def live(file: ConfigFile, mask: SecretMask, environ: dict[str, str]) -> LiveSettings:
    """Give settings in force, of a file that says nothing."""
    return LiveSettings(file.load(""), path=file.path, mask=mask, environ=environ)


def read_again(live: LiveSettings) -> Reload:
    """Read and compare the file as a SIGHUP does."""
    try:
        content = live.path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{live.path}: {exc.strerror}") from None
    return live.compare(parse_config(live.path, content, again=True), content)


# Two steps: read, and put in force


def test_what_is_read_again_is_not_in_force_yet(
    file: ConfigFile, live: LiveSettings
) -> None:
    before = live.now
    file.path.write_text('mode = "live"\n[bot]\nstate = "paused"\n')
    reload = read_again(live)
    assert live.now is before
    assert (reload.settings.mode, reload.settings.bot.state) == ("live", "paused")


def test_a_change_of_mode_begins_a_term_and_nothing_else_does(
    file: ConfigFile, live: LiveSettings
) -> None:
    terms = [live.term]
    for mode in ("paper", "live", "paper"):
        file.path.write_text(f'mode = "{mode}"\n[bot]\nstate = "paused"\n')
        live.put_in_force(read_again(live))
        terms.append(live.term)
    assert [term.mode for term in terms] == ["paper", "paper", "live", "paper"]
    assert terms[0] is terms[1]
    assert terms[3] is not terms[0], "paper that comes back is another term"


def test_what_is_put_in_force_is_what_was_read_and_needs_no_restart(
    file: ConfigFile, live: LiveSettings
) -> None:
    file.path.write_text(
        'mode = "live"\n[bot]\ntrade_size_stars5 = 7\n[intake]\nmax_pending = 9\n'
    )
    reload = read_again(live)
    file.path.write_text('mode = "paper"\n')
    live.put_in_force(reload)
    assert live.now is reload.settings
    assert (live.now.mode, live.now.bot.trade_size_stars5) == ("live", Decimal(7))
    assert live.now.intake.max_pending == 1024
    assert reload.applied == ["mode", "bot.trade_size_stars5"]
    assert reload.held == ["intake.max_pending"]
    assert reload.read.intake.max_pending == 9, "the file as it stands"


def test_what_needs_a_restart_is_named_at_each_reading_until_there_is_one(
    file: ConfigFile, live: LiveSettings
) -> None:
    file.path.write_text("[intake]\nmax_pending = 9\n")
    for _ in range(2):
        reload = read_again(live)
        live.put_in_force(reload)
        assert (reload.applied, reload.held) == ([], ["intake.max_pending"])


def test_a_file_that_says_the_same_changes_nothing(
    file: ConfigFile, live: LiveSettings
) -> None:
    before = live.now
    file.path.write_text('mode = "paper"\n')
    reload = read_again(live)
    live.put_in_force(reload)
    assert (reload.applied, reload.held) == ([], [])
    assert live.now == before


def test_a_part_that_keeps_a_section_keeps_what_was_in_force_then(
    file: ConfigFile, live: LiveSettings
) -> None:
    kept = live.now.bot
    file.path.write_text('[bot]\nstate = "paused"\n')
    live.put_in_force(read_again(live))
    assert (kept.state, live.now.bot.state) == ("running", "paused")


@pytest.mark.parametrize(
    "text", ["", "mode = ", '[bot]\nstate = "asleep"\n', None], ids=str
)
def test_a_file_that_cannot_be_used_is_refused_and_changes_nothing(
    file: ConfigFile, live: LiveSettings, text: str | None
) -> None:
    before = live.now
    if text is None:
        file.path.unlink()
    else:
        file.path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml: "):
        read_again(live)
    assert live.now is before


def test_half_a_key_pair_is_refused_and_changes_nothing(
    file: ConfigFile, live: LiveSettings, environ: dict[str, str]
) -> None:
    before = live.now
    file.path.write_text('mode = "live"\n')
    environ["APCA_API_KEY_ID"] = "PKKEYKEY"
    with pytest.raises(ConfigError, match="APCA_API_SECRET_KEY: is not set"):
        read_again(live)
    assert live.now is before


# Half a file

STRICT = """\
mode = "live"
[alpaca]
paper_url = "http://127.0.0.1:1234"
live_url = "http://127.0.0.1:5678"
[bot]
"""
STRICT_BOT = [
    "enabled = false  # for now",
    'state = "stopped"',
    "trade_size_stars3 = 12.5",
    "trade_size_stars4 = 12.5",
    "trade_size_stars5 = 12.5",
    "enabled_catalyst_tiers = [1, 2]",
    'symbols_allowed = ["AAPL", "KO"]',
    'symbols_blocked = ["GME",\n  "BRK.B"]',
    "max_share_price = 1_000.0",
    "max_float_shares = 50_000_000",
    "min_relative_volume = 20.5",
    "require_market_open = true",
    "max_concurrent_positions = 20",
    "daily_loss_limit_usd = 100.0",
    "min_win_rate = 0.35",
    "min_win_rate_trades = 20",
    "symbol_cooldown_sec = 60.0",
    "max_orders_per_minute = 30",
    "max_orders_per_day = 100",
    "max_notional_per_day_usd = 5000.0",
    "halt_after_refusals = 5",
]
STRICTER_ABOVE = {
    "min_relative_volume",
    "min_win_rate",
    "min_win_rate_trades",
    "symbol_cooldown_sec",
}


def looser(old: Settings, new: Settings) -> list[str]:
    """Name what new settings let pass that the old ones stopped."""
    names = []
    for name in BotSettings.model_fields:
        before, after = getattr(old.bot, name), getattr(new.bot, name)
        if before is None or before == after:
            continue
        word = isinstance(before, bool | str | list | frozenset)
        if after is None or word or (after < before) is (name in STRICTER_ABOVE):
            names.append(name)
    moved = [old.mode, old.alpaca.paper_url, old.alpaca.live_url] != [
        *(new.mode, new.alpaca.paper_url, new.alpaca.live_url)
    ]
    return [*names, "moved"] if moved else names


def taken(live: LiveSettings, content: bytes) -> Settings | None:
    """Return what a SIGHUP would put in force, None if it is refused."""
    try:
        read = parse_config(live.path, content, again=True)
        return live.compare(read, content).settings
    except ConfigError:
        return None


@pytest.fixture
def strict(file: ConfigFile, mask: SecretMask) -> LiveSettings:
    """Give settings in force that say everything, strictly."""
    text = STRICT + "\n".join(STRICT_BOT) + "\n"
    return LiveSettings(file.load(text), path=file.path, mask=mask, environ={})


def test_a_file_that_is_cut_anywhere_loosens_nothing(strict: LiveSettings) -> None:
    whole = strict.path.read_bytes()
    refused = 0
    for end in range(len(whole)):
        settings = taken(strict, whole[:end])
        if settings is None:
            refused += 1
        else:
            assert looser(strict.now, settings) == [], whole[:end]
    assert refused > len(whole) * 0.9
    assert taken(strict, whole) == strict.now


@pytest.mark.parametrize("last", STRICT_BOT)
def test_a_file_that_is_cut_in_its_last_line_loosens_nothing(
    strict: LiveSettings, last: str
) -> None:
    rest = [line for line in STRICT_BOT if line != last]
    whole = (STRICT + "\n".join([*rest, last]) + "\n").encode()
    for end in range(len(whole) - len(last) - 1, len(whole)):
        settings = taken(strict, whole[:end])
        if settings is not None:
            assert looser(strict.now, settings) == [], whole[:end]
    assert taken(strict, whole) == strict.now
    assert taken(strict, whole[:-1]) == strict.now, "the last newline may be missing"


def test_the_shipped_file_cut_anywhere_loosens_nothing(
    file: ConfigFile, mask: SecretMask
) -> None:
    text = (Path(__file__).parents[2] / "config.toml").read_text()
    text = text.replace('state = "running"', 'state = "stopped"')
    live = LiveSettings(file.load(text), path=file.path, mask=mask, environ={})
    whole = text.encode()
    for end in range(len(whole)):
        settings = taken(live, whole[:end])
        if settings is not None:
            assert looser(live.now, settings) == [], whole[:end]


def test_what_is_missing_is_named_with_what_to_write(
    file: ConfigFile, live: LiveSettings
) -> None:
    file.path.write_text('[bot]\nstate = "stopped"\nmax_orders_per_day = 5\n')
    live.put_in_force(read_again(live))
    before = live.now
    file.path.write_text("[bot]\n")
    with pytest.raises(ConfigError) as caught:
        read_again(live)
    assert str(caught.value) == (
        f"{file.path}: bot.state, bot.max_orders_per_day: set until now and missing;"
        ' what is loosened must be said outright: bot.state = "running",'
        ' bot.max_orders_per_day = "off"'
    )
    assert live.now is before

    file.path.write_text('bot.state = "running"\nbot.max_orders_per_day = "off"\n')
    live.put_in_force(read_again(live))
    assert (live.now.bot.state, live.now.bot.max_orders_per_day) == ("running", None)


def test_a_number_that_is_perhaps_cut_is_named(strict: LiveSettings) -> None:
    whole = strict.path.read_bytes().replace(b"symbol_cooldown_sec = 60.0\n", b"")
    content = whole + b"symbol_cooldown_sec = 6"
    with pytest.raises(ConfigError) as caught:
        strict.compare(parse_config(strict.path, content), content)
    assert str(caught.value) == (
        f"{strict.path}: bot.symbol_cooldown_sec: the file ends within its value,"
        " perhaps: end the last line"
    )
    settings = taken(strict, content + b"\n")
    assert settings is not None
    assert settings.bot.symbol_cooldown_sec == 6


# Secrets


@pytest.mark.parametrize("secret", ["file-key", "file-secret", "T0K3N-in-the-path"])
def test_secrets_in_the_file_are_masked_as_soon_as_it_is_read(
    file: ConfigFile, live: LiveSettings, mask: SecretMask, secret: str
) -> None:
    assert secret in mask.apply(f"it says {secret}.")
    file.path.write_text(ALL_SECRETS)
    read_again(live)
    assert secret not in mask.apply(f"it says {secret}.")


def test_secrets_in_the_environment_are_masked_as_soon_as_the_file_is_read(
    file: ConfigFile, live: LiveSettings, mask: SecretMask, environ: dict[str, str]
) -> None:
    environ |= {"APCA_API_KEY_ID": "PKKEYKEY", "APCA_API_SECRET_KEY": "SECRETSECRET"}
    file.path.write_text('mode = "live"\n')
    read_again(live)
    assert mask.apply("PKKEYKEY and SECRETSECRET") == "*** and ***"
