"""Who has the lease, in words, and whom that is worth a message."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from snexec.ops.lease_words import changes_hands, lease_words
from tests.fakes import Rig
from tests.ops.delivery import Told

TAKEN = {"lease": "active", "by": "host-b", "host": "host-b"}
SEEN = {"lease": "standby", "by": "host-b", "host": "host-a"}
LOST = {"lease": "standby", "by": None, "host": "host-a"}
WHY = "it was not renewed in time"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (TAKEN, "host-b has the lease: it is active from now on"),
        (SEEN, "host-b has the lease: this daemon stands by"),
        (
            LOST | {"reason": WHY},
            f"host-a has lost the lease ({WHY}): it stands by, and orders nothing",
        ),
        (
            TAKEN | {"by": "a\x1b[2J"},
            "a\\x1b[2J has the lease: it is active from now on",
        ),
    ],
)
def test_an_event_about_the_lease_is_one_sentence(
    event: dict[str, Any], words: str
) -> None:
    assert lease_words(event) == words


@pytest.mark.jumping_time
async def test_a_lease_that_is_taken_or_lost_is_a_message_and_one_seen_is_none(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    for event, reason in ((SEEN, None), (TAKEN, None), (LOST, WHY)):
        told.feed.publish("lease", event, reason=reason)
        await trio.sleep(10)

    assert told.texts() == [
        "snexec: host-b has the lease: it is active from now on",
        f"snexec: host-a has lost the lease ({WHY}): it stands by, and orders nothing",
    ]
    assert [message["event"] for _, message in told.messages] == ["lease", "lease"]
    assert not changes_hands(SEEN)
    nursery.cancel_scope.cancel()
