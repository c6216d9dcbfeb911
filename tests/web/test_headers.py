"""What every answer says to browsers."""

from __future__ import annotations

from hypercorn.config import Config

from snexec.web.headers import SafeConfig


def test_each_answer_says_how_it_may_be_shown_besides_what_hypercorn_says() -> None:
    names = [name for name, _value in SafeConfig().response_headers("h11")]
    own = [name for name, _value in Config().response_headers("h11")]
    assert set(own) < set(names)
    assert {b"content-security-policy", b"cache-control"} <= set(names)
    assert len(names) == len(set(names))
