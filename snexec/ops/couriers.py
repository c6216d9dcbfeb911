"""How a message is delivered: a program, a web server (README, "Notifications")."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import trio

from snexec.http import httpx, new_client

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import SecretStr

_CLOSE_SECONDS = 0.2
# Not for others; nor are the broker's keys.
_SECRETS = frozenset(
    {"CREDENTIALS_DIRECTORY", "SNEXEC_HTTP_TOKENS", "SNEXEC_REDIS_URL"}
)
_TEMPORARY = frozenset({408, 425, 429})  # the 4xx that are worth another try


class NotDeliveredError(Exception):
    """A message was not delivered.

    Attributes:
        final: Whether another try is useless.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Webhook:
    """Posts messages as JSON. Its URL may hold a secret, so no error shows it.

    Args:
        tls: Makes the context that verifies the host.
    """

    def __init__(self, url: SecretStr, tls: Callable[[], ssl.SSLContext]) -> None:
        self._url = url
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    async def post(self, message: Mapping[str, object]) -> None:
        """Post a message; the caller limits how long that may take.

        Raises:
            NotDeliveredError: The server did not accept it.
        """
        if self._client is None:
            self._client = new_client(tls=self._tls(), timeout=httpx.Timeout(60.0))
        try:
            # The answer's body is not read, however long it is.
            async with self._client.stream(
                "POST", self._url.get_secret_value(), json=message
            ) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:
            raise NotDeliveredError(type(exc).__name__) from None
        if not 200 <= status < 300:
            final = 300 <= status < 500 and status not in _TEMPORARY
            raise NotDeliveredError(f"HTTP {status}", final=final)

    async def aclose(self) -> None:
        """Close the connections, even if the caller is cancelled."""
        if self._client is not None:
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self._client.aclose()


async def run_command(words: Sequence[str], message: Mapping[str, object]) -> None:
    """Run a program in a process group of its own, which cancellation kills.

    It gets the text as its last argument and the message as JSON on standard input.
    Its environment holds neither the broker's keys nor any other secret of ours.

    Raises:
        NotDeliveredError: The program could not be run, or failed.
    """
    environ = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("APCA_") and k not in _SECRETS
    }
    try:
        ended = await trio.run_process(
            [*words, str(message["text"])],
            stdin=json.dumps(message).encode() + b"\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            start_new_session=True,
            env=environ | {"SNEXEC_EVENT": str(message["event"])},
            deliver_cancel=_kill_group,
        )
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        final = not isinstance(exc, BlockingIOError)  # a limit of processes
        raise NotDeliveredError(reason, final=final) from None
    except RuntimeError as exc:
        raise NotDeliveredError(str(exc)) from None  # no thread can be started for it
    if ended.returncode:
        raise NotDeliveredError(f"exit status {ended.returncode}")


async def _kill_group(process: trio.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
