"""A browser, a daemon to look at, and a page whose every error fails its test."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import short_folder
from tests.web.browser.running import Broker, Running, Trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
_PATIENCE_MS = 10_000


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give Debian's Chromium; without it these tests are skipped, and say so."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing (apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - it is large

    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[*_FLAGS, f"--crash-dumps-dir={profile}"],
        )
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def broker() -> Iterator[Broker]:
    """Give the exchange that all daemons here trade at."""
    with short_folder() as folder, closing(Broker(folder)) as found:
        yield found


@pytest.fixture(scope="package")
def daemon(broker: Broker) -> Iterator[Running]:
    """Give a daemon of the paper account, with some trades of the last minutes."""
    with short_folder() as folder, closing(Running(folder, broker)) as running:
        running.remember(
            Trade(
                f"OLD{place % 7}",
                ago=10.0 * (60 - place),
                percent=2.5 if place % 3 else -3.25,
                reason="profit_target" if place % 3 else "stop_loss",
                wire_ms=1.5 + place % 5,
                reply_ms=80.0 + place,
            )
            for place in range(60)
        )
        yield running


@contextmanager
def looking(browser: Browser, address: str, *, refuses: bool = False) -> Iterator[Page]:
    """Open an address, and fail where its console says an error or it asks elsewhere.

    Args:
        browser: What opens it.
        address: With the key.
        refuses: Whether some of its questions are refused, which the console says too.
    """
    errors: list[str] = []
    asked: set[str] = set()

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            errors.append(message.text)

    context = browser.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    page.on("console", on_console)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.add(request.url))
    page.goto(address)
    page.get_by_role("banner").wait_for()
    yield page
    origin = "/".join(address.split("/")[:3])
    context.close()
    away = [url for url in asked if not url.startswith(f"{origin}/")]
    assert away == [], "asked another host"
    # A browser names each request that nobody answered, while the daemon is away.
    said = [each for each in errors if "net::ERR_" not in each]
    assert [each for each in said if "status of 4" not in each] == []
    assert bool(said) is refuses


@pytest.fixture
def look(browser: Browser, daemon: Running) -> Iterator[Callable[..., Page]]:
    """Give a function that opens the daemon's page."""
    with ExitStack() as stack:

        def opened(*, refuses: bool = False) -> Page:
            shown = looking(browser, daemon.address, refuses=refuses)
            return stack.enter_context(shown)

        yield opened
