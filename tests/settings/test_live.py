"""The settings in force: what SIGHUP applies to them, and what it leaves."""

from decimal import Decimal

import pytest

from snexec.errors import ConfigError
from snexec.logs.mask import SecretMask
from snexec.settings.live import (
    LiveSettings,
    changed_keys,
    reloadable,
    with_reloaded,
)
from tests.settings.conftest import IN_FILE, ConfigFile
from tests.settings.keys import BY_NAME, KEYS, Key

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


# Two steps: read, and put in force


def test_what_is_read_again_is_not_in_force_yet(
    file: ConfigFile, live: LiveSettings
) -> None:
    before = live.now
    file.path.write_text('mode = "live"\n[bot]\nstate = "paused"\n')
    reload = live.read_again()
    assert live.now is before
    assert (reload.settings.mode, reload.settings.bot.state) == ("live", "paused")


def test_what_is_put_in_force_is_what_was_read_and_needs_no_restart(
    file: ConfigFile, live: LiveSettings
) -> None:
    file.path.write_text(
        'mode = "live"\n[bot]\ntrade_size_stars5 = 7\n[intake]\nmax_pending = 9\n'
    )
    reload = live.read_again()
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
        reload = live.read_again()
        live.put_in_force(reload)
        assert (reload.applied, reload.held) == ([], ["intake.max_pending"])


def test_a_file_that_says_the_same_changes_nothing(
    file: ConfigFile, live: LiveSettings
) -> None:
    before = live.now
    file.path.write_text('mode = "paper"\n')
    reload = live.read_again()
    live.put_in_force(reload)
    assert (reload.applied, reload.held) == ([], [])
    assert live.now == before


def test_a_part_that_keeps_a_section_keeps_what_was_in_force_then(
    file: ConfigFile, live: LiveSettings
) -> None:
    kept = live.now.bot
    file.path.write_text('[bot]\nstate = "paused"\n')
    live.put_in_force(live.read_again())
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
        live.read_again()
    assert live.now is before


def test_half_a_key_pair_is_refused_and_changes_nothing(
    file: ConfigFile, live: LiveSettings, environ: dict[str, str]
) -> None:
    before = live.now
    file.path.write_text('mode = "live"\n')
    environ["APCA_API_KEY_ID"] = "PKKEYKEY"
    with pytest.raises(ConfigError, match="APCA_API_SECRET_KEY: is not set"):
        live.read_again()
    assert live.now is before


# Secrets


@pytest.mark.parametrize("secret", ["file-key", "file-secret", "T0K3N-in-the-path"])
def test_secrets_in_the_file_are_masked_as_soon_as_it_is_read(
    file: ConfigFile, live: LiveSettings, mask: SecretMask, secret: str
) -> None:
    assert secret in mask.apply(f"it says {secret}.")
    file.path.write_text(ALL_SECRETS)
    live.read_again()
    assert secret not in mask.apply(f"it says {secret}.")


def test_secrets_in_the_environment_are_masked_as_soon_as_the_file_is_read(
    file: ConfigFile, live: LiveSettings, mask: SecretMask, environ: dict[str, str]
) -> None:
    environ |= {"APCA_API_KEY_ID": "PKKEYKEY", "APCA_API_SECRET_KEY": "SECRETSECRET"}
    file.path.write_text('mode = "live"\n')
    live.read_again()
    assert mask.apply("PKKEYKEY and SECRETSECRET") == "*** and ***"


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
