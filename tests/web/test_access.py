"""Who is let in, and who is not: the attacks that SPEC 14 names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec.web.access import Access
from snexec.web.key_file import PageKey
from tests.fakes import Rig, make_settings
from tests.web.site import head, raw, site_of

if TYPE_CHECKING:
    from snexec.ledger.store import Store
    from tests.fakes import FakeClock
    from tests.web.site import Site

KEY = PageKey("k" * 43)


def access(host: str = "127.0.0.1", **more: object) -> Access:
    values = {"key": KEY, "port": 8720, "hosts": frozenset({"trader.lan"})}
    values |= {"actions": True, "is_tls": False, "host": host, **more}
    return Access(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8720", True),
        ("127.0.0.1", True),
        ("localhost:8720", True),
        ("LOCALHOST", True),
        ("localhost:9000", True),  # forwarded by ssh
        ("[::1]:8720", True),
        ("trader.lan", True),
        ("Trader.Lan:443", True),
        ("evil.example:8720", False),  # rebound to 127.0.0.1
        ("127.0.0.1.evil.example", False),
        ("trader.lan.evil.example", False),
        ("localhost.evil.example:8720", False),
        ("evil.example:8720@127.0.0.1", False),
        ("127.0.0.1:8720.evil.example", False),
        ("127.0.0.1:", True),
        ("[::1].evil.example", False),
        ("[::1", False),
        ("[::2]:8720", False),
        ("192.168.0.1:8720", False),
        ("", False),
        ("\xff", False),
    ],
)
def test_only_our_own_names_are_this_page(host: str, known: bool) -> None:
    assert access().knows_host(host.encode("latin-1")) is known


def test_localhost_is_a_name_of_loopback_alone() -> None:
    elsewhere = access("192.0.2.7", is_tls=True)
    assert elsewhere.knows_host(b"192.0.2.7:8720")
    assert elsewhere.knows_host(b"trader.lan")
    assert not elsewhere.knows_host(b"localhost:8720")
    assert not elsewhere.knows_host(b"127.0.0.1")


def test_the_cookie_is_found_among_others_and_only_if_it_is_the_pages() -> None:
    good = f"a=b; snexec_8720={KEY.cookie}; c".encode()
    shadowed = f"snexec_8720=planted; snexec_8720={KEY.cookie}".encode()
    assert access().has_cookie([(b"cookie", good)])
    assert access().has_cookie([(b"cookie", shadowed)])
    assert access().has_cookie([(b"cookie", b"x=y"), (b"cookie", good)])
    for bad in (b"", b"snexec_8720=", b"snexec_8720=\xff", KEY.cookie.encode()):
        assert not access().has_cookie([(b"cookie", bad)])
    other_port = f"snexec_8721={KEY.cookie}".encode()
    assert not access().has_cookie([(b"cookie", other_port)])
    assert not access().has_cookie([(b"cookie", f"snexec_8720={KEY.text}".encode())])


def test_over_tls_the_cookie_is_for_tls_and_this_host_alone() -> None:
    said = access(is_tls=True).set_cookie().decode()
    assert said.startswith("__Host-snexec_8720=")
    assert said.endswith("; Secure")


async def test_the_key_becomes_a_cookie_that_no_script_sees_and_no_site_sends(
    site: Site,
) -> None:
    site.http.cookies.clear()
    answer = await site.open()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == f"snexec_{site.port}"
    attributes = {part.strip() for part in rest.split(";")[1:]}
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= attributes
    assert site.key not in answer.headers["set-cookie"]
    page = await site.get("/")
    assert page.status_code == 200
    assert "<title>snexec PAPER</title>" in page.text
    assert f'content="{site.token}"' in page.text
    assert site.key not in page.text


@pytest.mark.parametrize(
    "path",
    ["/", "/assets/index.html", "/api/snapshot", "/api/live", "/api/trades",
     "/api/trades.csv", "/api/charts", "/api/explain", "/nowhere"],
)  # fmt: skip
async def test_without_the_cookie_nothing_is_shown(site: Site, path: str) -> None:
    site.http.cookies.clear()
    answer = await site.get(path)
    assert answer.status_code == 401
    assert "snexec page" in answer.text
    assert answer.text.count("\n") == 1


@pytest.mark.parametrize("key", ["", "wrong", "k" * 43, "ä", "%00"])
async def test_a_wrong_key_opens_nothing(site: Site, key: str) -> None:
    site.http.cookies.clear()
    answer = await site.get("/", key=key)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_figures_and_health_need_neither_key_nor_name(site: Site) -> None:
    for path in ("/metrics", "/healthz"):
        asked = f"GET {path} HTTP/1.1\r\nHost: anybody.example\r\n\r\n".encode()
        assert (await raw(site.port, asked)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/", "/api/snapshot", "/?key=KEY"])
async def test_a_name_that_was_rebound_to_us_is_refused_cookie_or_not(
    site: Site, path: str
) -> None:
    asked = (
        f"GET {path.replace('KEY', site.key)} HTTP/1.1\r\nHost: evil.example:{site.port}"
        f"\r\nCookie: {site.cookie}\r\nConnection: close\r\n\r\n"
    )
    answer = await raw(site.port, asked.encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"set-cookie" not in answer
    old = f"GET / HTTP/1.0\r\nCookie: {site.cookie}\r\n\r\n"
    assert (await raw(site.port, old.encode())).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("action", ["halt", "resume", "close"])
@pytest.mark.parametrize(
    ("without", "headers"),
    [
        ("x-snexec-token", {}),
        ("", {"x_snexec_token": "0" * 64}),
        ("sec-fetch-site", {}),
        ("", {"sec_fetch_site": "cross-site"}),
        ("", {"sec_fetch_site": "same-site"}),  # another port of this host
        ("", {"sec_fetch_site": "none"}),
        ("", {"origin": "http://evil.example"}),
        ("", {"origin": "http://127.0.0.1:1"}),
        ("", {"origin": "null"}),
    ],
)
async def test_another_sites_page_does_nothing_here(
    site: Site, action: str, without: str, headers: dict[str, str]
) -> None:
    asked = {"symbol": "AAPL", "reason": "theirs"}
    answer = await site.act(action, asked, without=without, **headers)
    assert answer.status_code == 403
    assert answer.json()["error"]
    assert not site.bench.wings.halt.is_halted()
    assert site.exits.asked == []
    assert site.rig.events == []


async def test_a_stolen_token_is_nothing_without_the_cookie(site: Site) -> None:
    site.http.cookies.clear()
    assert (await site.act("halt")).status_code == 401
    assert not site.bench.wings.halt.is_halted()


@pytest.mark.parametrize("where", ["same-site", "cross-site"])
async def test_another_port_of_this_host_cannot_have_our_cookie_ask(
    site: Site, where: str
) -> None:
    for path in ("/api/snapshot", "/api/live", "/api/trades.csv"):
        headers = {"sec-fetch-site": where}
        answer = await site.http.get(path, headers=headers)
        assert answer.status_code == 403, path
    own = await site.http.get(
        "/api/snapshot", headers={"sec-fetch-site": "same-origin"}
    )
    assert own.status_code == 200


async def test_a_page_without_actions_only_shows(
    store: Store, clock: FakeClock, database: Path
) -> None:
    rig = Rig(config=make_settings(), clock=clock, store=store)
    async with site_of(rig, database, actions=False) as site:
        assert (await site.json("/api/snapshot"))["actions"] is False
        for action in ("halt", "resume", "close"):
            answer = await site.act(action, {"symbol": "AAPL"})
            assert answer.status_code == 403
            assert "actions = false" in answer.json()["error"]
        assert not site.bench.wings.halt.is_halted()


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/snapshot", "/metrics"])
async def test_every_answer_forbids_what_a_browser_might_do_with_it(
    site: Site, path: str
) -> None:
    headers = (await site.get(path)).headers
    policy = headers["content-security-policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ):
        assert rule in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control")]


async def test_nothing_but_get_and_the_actions_own_method_is_answered(
    site: Site,
) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        asked = head(method, "/api/snapshot", site.port, f"Cookie: {site.cookie}",
                     "Connection: close")  # fmt: skip
        assert (await raw(site.port, asked)).startswith(b"HTTP/1.1 403 ")
    assert (await site.get("/api/halt")).status_code == 405
    assert (await site.act("snapshot")).status_code == 405
