"""Waits with a limit."""

from __future__ import annotations

import pytest
import trio

from snexec.stream.timeouts import limit


@pytest.mark.jumping_time
async def test_a_limit_says_what_was_waited_for() -> None:
    too_slow = pytest.raises(trio.TooSlowError, match="no answer within 10 s")
    with too_slow, limit(10, "no answer"):
        await trio.sleep_forever()
