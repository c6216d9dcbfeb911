"""``POST /signals/{token}``: what is answered to whom, never waiting for an order (SPEC 13)."""

from __future__ import annotations

import ipaddress
import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from snexec.web.access import SIGNALS, respond
from snexec.web.answers import Answer, NotAnsweredError, in_json, refused
from snexec.web.bodies import MOST_BYTES, read_body
from snexec.web.client import client_of
from snexec.web.posted import ManyError, signals_in
from snexec.web.producers import Producers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from snexec.intake import Answer as Taken
    from snexec.settings import HttpSettings
    from snexec.web.posted import Posted
    from snexec.web.producers import Producer

log = logging.getLogger("Intake")

Headers = list[tuple[bytes, bytes]]

_STATUS = {"accepted": 202, "repeated": 200, "invalid": 400}
_NOT_TAKEN = 503  # whatever else: the same signal may be taken later
_AGAIN_SECONDS = 1
_MOST_KEPT = 16  # connections of a producer, of the 64 that there may be
_CLOSES = (b"connection", b"close")
_WARN_EVERY_SECONDS = 60.0
_NOBODY = "there is nothing here"
_NOT_THE_PROXY = (
    "signals come over TLS, from this machine, or from [http] trusted_proxy"
)

_OPEN_LINE = (
    "a signal from {0} is refused: it came neither over TLS, nor from this machine, nor"
    " from [http] trusted_proxy"
)


class Signals:
    """Answers producers.

    Args:
        posted: Takes what they post.
        settings: Say who they are.
    """

    def __init__(self, posted: Posted, settings: HttpSettings) -> None:
        self._posted = posted
        self._producers = Producers(settings)
        self._proxy = settings.trusted_proxy
        self._warned_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        arrived = self._posted.arrived()
        producer = self._producers.who_has(scope["path"].removeprefix(SIGNALS))
        headers: Headers = []
        if not self._may_come(scope):
            self._warn("proxy", _OPEN_LINE.format(*scope["client"]))
            answer, headers = refused(_NOT_THE_PROXY, status=403), [_CLOSES]
        elif producer is None:
            self._warn("token", "a signal came with a token that nobody has")
            answer, headers = refused(_NOBODY, status=404), [_CLOSES]
        elif scope["method"] != "POST":
            answer = refused("signals are posted: use POST", status=405)
            headers = [(b"allow", b"POST"), _CLOSES]
        else:
            with _kept(scope, producer):
                answer, headers = await self._take(scope, receive, producer, arrived)
        await respond(send, answer, headers)

    async def _take(
        self, scope: Scope, receive: Receive, producer: Producer, read_at: float
    ) -> tuple[Answer, Headers]:
        try:
            body = await read_body(scope, receive)
        except NotAnsweredError as exc:
            return self._unread(exc.answer, producer, read_at), [_CLOSES]
        if wait := producer.wait_for(1):
            return self._too_many(producer, wait)
        try:
            lines = signals_in(body)
        except ManyError as exc:
            producer.count(1)
            return _single(self._posted.refuse(str(exc), producer, read_at=read_at))
        count = 1 if lines is None else len(lines)
        if wait := producer.wait_for(count):
            return self._too_many(producer, wait)
        producer.count(count)
        answers = await self._posted.take(
            [body] if lines is None else lines, producer, read_at=read_at
        )
        return _single(answers[0]) if lines is None else _listed(answers)

    def _unread(self, answer: Answer, producer: Producer, read_at: float) -> Answer:
        """Return the answer to a body that is too long, too slow, or has broken off."""
        if answer.status == 413:
            why = f"longer than {MOST_BYTES} bytes"
            producer.count(1)
            taken = self._posted.refuse(why, producer, read_at=read_at)
            return in_json(taken.fields(), status=413)
        log.debug("%s went away, or was too slow: no signal is read", producer.name)
        return answer

    def _too_many(self, producer: Producer, wait: float) -> tuple[Answer, Headers]:
        reason = f"more than {producer.per_minute} signals a minute"
        self._warn(
            f"pace of {producer.name}",
            f"signals of {producer.name} are not taken: {reason} (http.per_minute)",
        )
        fields = {"status": "overloaded", "reason": reason}
        return in_json(fields, status=429), _again(math.ceil(wait))

    def _may_come(self, scope: Scope) -> bool:
        """Return whether nobody on the way can have read the token."""
        if scope["scheme"] == "https":
            return True
        peer, _port = scope["client"]
        return peer == self._proxy or ipaddress.ip_address(peer).is_loopback

    def _warn(self, about: str, words: str) -> None:
        """Warn once a minute at most: whoever guesses tokens must not fill the log."""
        now = trio.current_time()
        if now - self._warned_at.get(about, -math.inf) >= _WARN_EVERY_SECONDS:
            self._warned_at[about] = now
            log.warning("%s (said once a minute)", words)


@contextmanager
def _kept(scope: Scope, producer: Producer) -> Iterator[None]:
    """Have a connection not ended to make room; a producer gone wild gets no more."""
    client = client_of(scope)
    was_trusted = client.is_trusted
    client.is_trusted = was_trusted or producer.posting < _MOST_KEPT
    producer.posting += 1
    try:
        yield
    finally:
        producer.posting -= 1
        client.is_trusted = was_trusted


def _single(taken: Taken) -> tuple[Answer, Headers]:
    status = _STATUS.get(taken.status, _NOT_TAKEN)
    headers = _again(_AGAIN_SECONDS) if status == _NOT_TAKEN else []
    return in_json(taken.fields(), status=status), headers


def _listed(taken: list[Taken]) -> tuple[Answer, Headers]:
    fields = [each.fields() for each in taken]
    if any(each.status in _STATUS for each in taken):
        return in_json(fields, status=202), []
    return in_json(fields, status=_NOT_TAKEN), _again(_AGAIN_SECONDS)


def _again(seconds: int) -> Headers:
    return [(b"retry-after", str(max(1, seconds)).encode())]
