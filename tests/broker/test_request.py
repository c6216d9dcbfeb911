"""A request: who hears of its end, and when."""

from __future__ import annotations

from snexec.broker.request import Request
from tests.broker.listening import Listening


async def test_a_request_that_has_ended_holds_nobody() -> None:
    listener = Listening()
    request = Request(b"x", listener)
    request.end(problem="no connection")
    assert listener.ends == [(request, "no connection")]
    # Or each order would be garbage that only a collection finds.
    assert request.listener is None


async def test_a_listener_hears_once_that_its_request_has_ended() -> None:
    listener = Listening()
    request = Request(b"x", listener)
    request.abandon("too slow")
    request.abandon("again")
    assert listener.ends == [(request, "too slow")]
