"""Sends one notification, to see that it arrives (README, "Notifications")."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING

import click
import trio

from snexec.broker import tls_context
from snexec.clock import SystemClock, timestamp
from snexec.errors import CommandError, ConfigError
from snexec.logs import SecretMask
from snexec.settings import learn_secrets, load_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from snexec.settings import NotifySettings

_DELIVERY_SECONDS = 10.0
_TEXT = "snexec: this is a test, sent by snexec notify --test"


def run_notify(config: Path) -> int:
    """Send a test to each receiver, say what came of it, and return the exit status.

    Raises:
        ConfigError: The configuration cannot be used, or names nobody.
        CommandError: The certificates cannot be read.
    """
    settings = load_settings(config)
    mask = SecretMask()
    with contextlib.suppress(ConfigError):  # what it is about has no part in this
        learn_secrets(mask, settings)
    if settings.notify.command is None and settings.notify.webhook is None:
        raise ConfigError(f"{config}: notify: neither command nor webhook is set")
    message = {
        "text": _TEXT,
        "event": "test",
        "at": timestamp(SystemClock().now()),
        "count": 0,
        "events": [],
    }
    try:
        problems = trio.run(_send, settings.notify, message)
    except OSError as exc:
        raise CommandError(f"certificates cannot be used: {exc}") from None
    for name, problem in problems.items():
        said = f"not delivered: {problem}" if problem else "delivered"
        click.echo(mask.apply(f"{name}: {said}"))
    return 1 if any(problems.values()) else 0


async def _send(
    notify: NotifySettings, message: Mapping[str, object]
) -> dict[str, str]:
    from snexec.ops.couriers import Webhook, run_command

    problems: dict[str, str] = {}
    if notify.command is not None:
        deliver = partial(run_command, notify.command, message)
        problems["notify.command"] = await _problem(deliver)
    if notify.webhook is not None:
        webhook = Webhook(notify.webhook, partial(tls_context, os.environ))
        try:
            problems["notify.webhook"] = await _problem(partial(webhook.post, message))
        finally:
            await webhook.aclose()
    return problems


async def _problem(deliver: Callable[[], Awaitable[None]]) -> str:
    """Deliver, and return why not; empty where it was."""
    from snexec.ops.couriers import NotDeliveredError

    try:
        with trio.fail_after(_DELIVERY_SECONDS):
            await deliver()
    except NotDeliveredError as exc:
        return str(exc)
    except trio.TooSlowError:
        return f"no end within {_DELIVERY_SECONDS:g} s"
    return ""
