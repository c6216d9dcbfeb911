"""Keys: which source wins, and that none of them is shown."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from snexec.errors import ConfigError
from snexec.logs import SecretMask
from snexec.model import MODES, Mode
from snexec.settings.credentials import (
    Credentials,
    credentials_for,
    learn_secrets,
    open_secrets,
)
from tests.settings.conftest import IN_FILE, ConfigFile, assert_hidden

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

    assert open_secrets(file.path, settings) == ("keys" if open_to_others else "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[notify]\nwebhook = "https://x.example/y"', "the address of a webhook"),
        (
            '[notify]\ncommand = ["apprise", "slack://a1b2c3d4e5/f6"]',
            "a token of notify.command",
        ),
        ('[notify]\ncommand = ["say"]', ""),
        (
            f'{IN_FILE}\n[notify]\nwebhook = "https://x.example/y"',
            "keys and the address of a webhook",
        ),
    ],
)
def test_what_lies_open_is_called_what_it_is(
    file: ConfigFile, text: str, found: str
) -> None:
    settings = file.load(text)
    file.path.chmod(0o644)

    assert open_secrets(file.path, settings) == found


def test_a_file_without_keys_may_be_read_by_anyone(file: ConfigFile) -> None:
    settings = file.load("")
    file.path.chmod(0o644)

    assert not open_secrets(file.path, settings)


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def put(folder: Path, values: Mapping[str, str], ending: str = "") -> dict[str, str]:
    """Write credentials, and return the environment that names their folder."""
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


@pytest.mark.parametrize("kind", ["pipe", "endless device"])
def test_a_credential_that_is_no_file_is_refused_and_not_waited_for(
    file: ConfigFile, credentials: Path, kind: str
) -> None:
    environ = put(credentials, {"APCA_API_KEY_ID": "key"})
    if kind == "pipe":
        os.mkfifo(credentials / "APCA_API_SECRET_KEY")
    else:
        (credentials / "APCA_API_SECRET_KEY").symlink_to("/dev/zero")
    with pytest.raises(ConfigError) as caught:
        credentials_for("paper", file.load(""), environ)
    assert str(caught.value) == (
        "credential APCA_API_SECRET_KEY: is not a regular file"
    )


def test_every_secret_of_settings_and_environment_is_learnt(file: ConfigFile) -> None:
    settings = file.load(
        IN_FILE + '[notify]\nwebhook = "https://hooks.example/services/aB3dE5fG7hJ9"\n'
    )
    mask = SecretMask()
    learn_secrets(mask, settings, PAPER)

    for secret in ("paper-key", "paper-secret", "file-key", "file-secret"):
        assert mask.apply(f"a {secret}!") == "a ***!"
    assert mask.apply("aB3dE5fG7") == "***"
    assert mask.apply("services at https://hooks.example") == (
        "services at https://hooks.example"
    )


def test_half_a_pair_keeps_no_other_secret_from_being_learnt(file: ConfigFile) -> None:
    mask = SecretMask()
    half = {"APCA_PAPER_API_KEY_ID": "half-a-pair"}
    live = {
        "APCA_LIVE_API_KEY_ID": "live-key",
        "APCA_LIVE_API_SECRET_KEY": "live-secret",
    }
    with pytest.raises(ConfigError, match="APCA_PAPER_API_SECRET_KEY: is not set"):
        learn_secrets(mask, file.load(IN_FILE), half | live)

    for secret in ("live-key", "live-secret", "file-key", "file-secret"):
        assert mask.apply(f"a {secret}!") == "a ***!"
