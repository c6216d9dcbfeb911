"""The broker's keys: where they are looked up, and how they stay hidden (SPEC 3)."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from snexec.errors import ConfigError
from snexec.model import MODES, Mode
from snexec.settings.http import TOKENS_NAME, HttpSettings, read_tokens
from snexec.settings.redis import URL_NAME, RedisAddress, RedisSettings, read_address
from snexec.settings.values import Secret
from snexec.small_files import read_small_file

if TYPE_CHECKING:
    from snexec.logs import SecretMask
    from snexec.settings.sections import Settings

log = logging.getLogger("Daemon")

_MAX_CREDENTIAL_BYTES = 4096
_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


class Credentials(BaseModel):
    """A key pair, which never shows itself."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    key: Secret
    secret: Secret

    def values(self) -> tuple[str, str]:
        """Return key and secret in the clear."""
        return self.key.get_secret_value(), self.secret.get_secret_value()


def credentials_for(
    mode: Mode, settings: Settings, environ: Mapping[str, str] = os.environ
) -> Credentials | None:
    """Return a mode's key pair: from its own names, the common ones, or the file.

    Each name is looked up in the environment, then among the service manager's
    credentials (``LoadCredential=``), in upper or lower case.

    Raises:
        ConfigError: A pair is incomplete, cannot be read, or cannot go in a header.
    """
    sources = "environment"
    if environ.get("CREDENTIALS_DIRECTORY"):
        sources += " or credentials"
    for prefix in (f"APCA_{mode.upper()}_API", "APCA_API"):
        key_name, secret_name = f"{prefix}_KEY_ID", f"{prefix}_SECRET_KEY"
        key = environ.get(key_name) or credential(key_name, environ)
        secret = environ.get(secret_name) or credential(secret_name, environ)
        if key and secret:
            try:
                return Credentials(key=SecretStr(key), secret=SecretStr(secret))
            except ValidationError as exc:
                bad = key_name if exc.errors()[0]["loc"] == ("key",) else secret_name
                raise ConfigError(
                    f"{sources}: {bad}: must be printable ASCII without spaces"
                ) from None
        if key or secret:
            missing = secret_name if key else key_name
            raise ConfigError(f"{sources}: {missing}: is not set, and its twin is")
    if settings.alpaca.api_key and settings.alpaca.api_secret:
        return Credentials(
            key=settings.alpaca.api_key, secret=settings.alpaca.api_secret
        )
    return None


def credential(name: str, environ: Mapping[str, str]) -> str | None:
    """Return what systemd's ``LoadCredential=`` stored under a name; None if nothing.

    Raises:
        ConfigError: It exists but cannot be read, is no regular file, or is too long.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    for file_name in (name, name.lower()):
        path = Path(folder, file_name)
        try:
            content = read_small_file(path, max_bytes=_MAX_CREDENTIAL_BYTES).content
        except FileNotFoundError:
            continue
        except OSError as exc:
            too_long = exc.errno == errno.EFBIG
            why = "is too long for a key" if too_long else exc.strerror
            raise ConfigError(f"credential {file_name}: {why}") from None
        return content.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    return None


def redis_address(
    settings: RedisSettings, environ: Mapping[str, str] = os.environ
) -> RedisAddress:
    """Return where Redis is: by the environment, a credential, or the file.

    Raises:
        ConfigError: Nothing says it, or what does cannot be used.
    """
    url = environ.get(URL_NAME) or credential(URL_NAME, environ)
    if not url:
        if settings.url is None:
            raise ConfigError(f"redis.url: is missing; it may be {URL_NAME} as well")
        url = settings.url.get_secret_value()
    try:
        return read_address(url)
    except ValueError as exc:
        raise ConfigError(f"{URL_NAME}: {exc}") from None


def http_tokens(
    settings: HttpSettings, environ: Mapping[str, str] = os.environ
) -> dict[str, SecretStr]:
    """Return each producer's token: by the environment, a credential, or the file.

    Raises:
        ConfigError: Nothing names a producer, or what does cannot be used.
    """
    if not settings.enabled:
        return settings.tokens
    tokens = settings.tokens
    if given := environ.get(TOKENS_NAME) or credential(TOKENS_NAME, environ):
        try:
            tokens = read_tokens(given)
        except ValueError as exc:
            raise ConfigError(f"{TOKENS_NAME}: {exc}") from None
    if not tokens:
        raise ConfigError(
            'http.tokens: must name who may post: { tradingview = "…" }; it may be'
            f" {TOKENS_NAME} as well"
        )
    return tokens


def open_secrets(path: Path, settings: Settings) -> str:
    """Return which secrets others than the file's owner can read in it, in words."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if not mode & _READABLE_BY_OTHERS:
        return ""
    found = {
        "keys": settings.alpaca.api_key is not None,
        "the address of a webhook": settings.notify.webhook is not None,
        "a token of notify.command": bool(settings.notify.command_tokens()),
        "the password of Redis": settings.redis is not None
        and settings.redis.holds_password,
        "tokens of http": bool(settings.http.tokens),
    }
    return " and ".join(words for words, is_there in found.items() if is_there)


def warn_open_secrets(config: Path, settings: Settings) -> None:
    """Log a warning if others can read secrets in the file."""
    if found := open_secrets(config, settings):
        say_open_secrets(config, found)


def say_open_secrets(config: Path, found: str) -> None:
    """Log a warning that others can read these secrets in the file."""
    log.warning(
        "%s holds %s, and others can read it: chmod 600 %s", config, found, config
    )


def learn_secrets(
    mask: SecretMask, settings: Settings, environ: Mapping[str, str] = os.environ
) -> None:
    """Mask every secret in the settings, the environment and the credentials.

    Raises:
        ConfigError: A key pair is incomplete, cannot be read, or cannot go in a header;
            all others are masked.
    """
    refusal: ConfigError | None = None
    for mode in MODES:
        try:
            credentials = credentials_for(mode, settings, environ)
        except ConfigError as exc:
            refusal = refusal or exc
            continue
        if credentials is not None:
            mask.learn(credentials.values())
    for value in (settings.alpaca.api_key, settings.alpaca.api_secret):
        if value is not None:  # even where the environment has others
            mask.learn([value.get_secret_value()])
    if settings.redis is not None:
        try:
            address = redis_address(settings.redis, environ)
        except ConfigError as exc:
            refusal = refusal or exc
        else:
            mask.learn([address.password] if address.password else [])
    mask.learn(settings.http.secrets())
    try:
        tokens = http_tokens(settings.http, environ)
    except ConfigError as exc:
        refusal = refusal or exc
    else:
        mask.learn([token.get_secret_value() for token in tokens.values()])
    mask.learn(settings.notify.tokens())
    mask.learn(settings.notify.secrets(), only_whole=True)
    if refusal is not None:
        raise refusal
