"""Opens a trading stream for a moment, to see that it would be fed."""

from __future__ import annotations

import pytest
import trio
from pydantic import SecretStr

from snexec.broker.endpoint import Endpoint
from snexec.cli.check_stream import try_stream
from snexec.settings import Credentials
from tests.input_helpers import serve_once

KEYS = Credentials(key=SecretStr("PKTEST"), secret=SecretStr("secret"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"this is no HTTP at all\r\n\r\n", "no answer that can be read"),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", "refused: HTTP 503"),
        (b"HTTP/1.1 101 Switching", "closed during the handshake"),
    ],
)
async def test_an_answer_that_is_no_handshake_is_a_finding(
    nursery: trio.Nursery, answer: bytes, told: str
) -> None:
    host = await serve_once(nursery, answer)
    endpoint = Endpoint(mode="paper", url=f"http://{host}", credentials=KEYS)
    with trio.fail_after(30):
        finding = await try_stream(endpoint)
    assert told in finding.detail
