"""``[http]``: what may be said there, and that no token is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from snexec.errors import ConfigError
from snexec.logs import SecretMask
from snexec.settings.changes import changes, reloadable
from snexec.settings.credentials import http_tokens, learn_secrets, open_secrets
from snexec.settings.http import HttpSettings, signals_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.settings.conftest import ConfigFile

TOKEN = "Zq3vX8mK1pLw7tRb5nYc9dGh2jFs6aEu"
OTHER = TOKEN[::-1]
AT = 'listen = "127.0.0.1:0"\n'


def http(*lines: str) -> str:
    return "\n".join(["[http]", "enabled = true", *lines, ""])


def tokens(**given: str) -> str:
    pairs = ", ".join(f'{name} = "{token}"' for name, token in given.items())
    return f"tokens = {{ {pairs} }}"


def test_nothing_is_posted_without_its_section(file: ConfigFile) -> None:
    assert file.load("").http == HttpSettings()
    assert not file.load(f"[http]\n{tokens(tv=TOKEN)}").http.enabled
    assert not reloadable("http.tokens")


def test_a_page_is_place_enough_and_listen_is_another(file: ConfigFile) -> None:
    beside = file.load(http(tokens(tv=TOKEN)) + "[page]").http
    assert beside.enabled
    assert beside.host_and_port() is None
    assert beside.per_minute == 60
    alone = file.load(http(AT, tokens(tv=TOKEN))).http
    assert alone.host_and_port() == ("127.0.0.1", 0)
    assert "no [page]" in file.refusal(http(tokens(tv=TOKEN)))


def test_somebody_must_be_named(file: ConfigFile) -> None:
    settings = file.load(http(AT))
    with pytest.raises(ConfigError) as refused:
        learn_secrets(SecretMask(), settings, {})
    assert str(refused.value) == (
        'http.tokens: must name who may post: { tradingview = "…" }; it may be'
        " SNEXEC_HTTP_TOKENS as well"
    )


def test_the_environment_wins_over_a_credential_and_that_over_the_file(
    file: ConfigFile,
) -> None:
    settings = file.load(http(AT, tokens(tv=TOKEN))).http
    assert shown(http_tokens(settings, {})) == {"tv": TOKEN}
    folder = {"CREDENTIALS_DIRECTORY": str(file.path.parent)}
    stored = file.path.parent / "snexec_http_tokens"
    stored.write_text(f"alerts={OTHER}\nmodel.2={TOKEN}\n")
    assert shown(http_tokens(settings, folder)) == {"alerts": OTHER, "model.2": TOKEN}
    environ = folder | {"SNEXEC_HTTP_TOKENS": f"tv={OTHER}"}
    assert shown(http_tokens(settings, environ)) == {"tv": OTHER}


def test_tokens_of_the_environment_are_masked(file: ConfigFile) -> None:
    mask = SecretMask()
    environ = {"SNEXEC_HTTP_TOKENS": f"tv={OTHER}"}
    learn_secrets(mask, file.load(http(AT, tokens(tv=TOKEN))), environ)
    assert mask.apply(f"{TOKEN} {OTHER}") == "*** ***"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (TOKEN, "a producer's name, left of its token, has 1 to 31 letters"),
        (f"{TOKEN}=tv", "a producer's name, left of its token, has 1 to 31 letters"),
        ("tv=short", "the token of tv must have 32 to 256 characters"),
        (f"tv={TOKEN},tv={OTHER}", "names a producer twice"),
        (f"tv={TOKEN} model={TOKEN}", "the token of model is another producer's too"),
    ],
)
def test_what_is_wrong_in_the_environment_is_said_without_a_token(
    file: ConfigFile, given: str, said: str
) -> None:
    settings = file.load(http(AT, tokens(tv=TOKEN))).http
    with pytest.raises(ConfigError) as refused:
        http_tokens(settings, {"SNEXEC_HTTP_TOKENS": given})
    assert str(refused.value).startswith(f"SNEXEC_HTTP_TOKENS: {said}")
    assert TOKEN[:8] not in str(refused.value)


def test_signals_are_taken_at_the_page_and_at_listen(file: ConfigFile) -> None:
    def places(text: str) -> list[str]:
        settings = file.load(text)
        return signals_at(settings.http, settings.page)

    assert places("") == []
    assert places(http(AT)) == ["127.0.0.1:0"]
    assert places(http(AT) + "[page]") == ["127.0.0.1:8720", "127.0.0.1:0"]
    at = 'listen = "127.0.0.1:8720"\n'
    assert places(http(at) + "[page]") == ["127.0.0.1:8720"]


def shown(tokens: dict[str, SecretStr]) -> dict[str, str]:
    return {name: token.get_secret_value() for name, token in tokens.items()}


@pytest.mark.parametrize("host", ["192.0.2.1", "[::]", "trader.lan"])
def test_elsewhere_needs_a_proxy_that_does_tls(file: ConfigFile, host: str) -> None:
    listen = f'listen = "{host}:8721"'
    said = file.refusal(http(listen, tokens(tv=TOKEN)))
    assert "trusted_proxy" in said
    proxy = 'trusted_proxy = "192.0.2.7"'
    assert file.load(http(listen, proxy, tokens(tv=TOKEN))).http.listen is not None


def test_a_proxy_frees_no_page(file: ConfigFile) -> None:
    page = '[page]\nlisten = "192.0.2.1:8720"\n'
    proxy = 'trusted_proxy = "192.0.2.7"'
    said = file.refusal(http(proxy, tokens(tv=TOKEN)) + page)
    assert said.startswith("page: listen: ")


@pytest.mark.parametrize("proxy", ["caddy", "192.0.2.0/24", "", "192.0.2.7:80"])
def test_a_proxy_is_an_address(file: ConfigFile, proxy: str) -> None:
    said = file.refusal(http(AT, f'trusted_proxy = "{proxy}"', tokens(tv=TOKEN)))
    assert said.startswith("http.trusted_proxy: must be an IP address")


def test_metrics_have_an_address_of_their_own(file: ConfigFile) -> None:
    at = 'listen = "127.0.0.1:9464"\n'
    said = file.refusal(http(at, tokens(tv=TOKEN)) + f"[metrics]\n{at}")
    assert "metrics.listen" in said
    both = http(at, tokens(tv=TOKEN)) + f"[metrics]\n{at}[page]\n{at}"
    assert file.load(both).http.enabled


@pytest.mark.parametrize(
    "given",
    [
        tokens(tv=TOKEN[:31]),
        tokens(tv=TOKEN * 9),
        tokens(tv=TOKEN + " "),
        tokens(tv=TOKEN + "/x"),
        tokens(tv=TOKEN + "?"),
        tokens(tv=TOKEN, other=TOKEN),
        f'tokens = ["{TOKEN}"]',
        f'tokens = "{TOKEN}"',
        f'tokens = {{ tv = ["{TOKEN}"] }}',
        f'tokens = {{ "{TOKEN}" = "tv" }}',
        f'tokens = {{ "" = "{TOKEN}" }}',
        f'tokens = {{ "a b" = "{TOKEN}" }}',
        f'tokens = {{ tv = {{ token = "{TOKEN}" }} }}',
        f'per_minute = 0\ntokens = {{ tv = "{TOKEN}" }}',
        f'per_minutes = 1\ntokens = {{ tv = "{TOKEN}" }}',
    ],
)
def test_what_is_wrong_is_said_without_a_token(file: ConfigFile, given: str) -> None:
    said = file.refusal(http(AT, given))
    assert said.startswith("http.")
    for at in range(len(TOKEN) - 7):
        assert TOKEN[at : at + 8] not in said


def test_every_token_is_masked_even_where_nothing_is_posted(file: ConfigFile) -> None:
    mask = SecretMask()
    learn_secrets(mask, file.load(f"[http]\n{tokens(a=TOKEN, b=OTHER)}"), {})
    said = mask.apply(f"POST /signals/{TOKEN} and {OTHER[:20]}")
    assert TOKEN[:8] not in said
    assert OTHER[:8] not in said


def test_a_changed_token_is_not_shown(file: ConfigFile) -> None:
    old = file.load(f"[http]\n{tokens(a=TOKEN)}")
    new = file.load(f"[http]\n{tokens(a=OTHER)}")
    [change] = changes(old, new, ["http.tokens"])
    assert (change.before, change.after) == ("***", "***")


def test_tokens_that_others_can_read_are_keys_that_lie_open(
    file: ConfigFile, tmp_path: Path
) -> None:
    path = tmp_path / "readable"
    path.touch()
    path.chmod(0o644)
    said = open_secrets(path, file.load(f"[http]\n{tokens(a=TOKEN)}"))
    assert said == "tokens of http"
    assert not open_secrets(path, file.load(""))
