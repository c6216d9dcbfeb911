from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snexec.bench.websocket import PING, frame, take_frame, upgrade


def test_an_upgrade_is_answered_as_the_standard_says() -> None:
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in upgrade(b"dGhlIHNhbXBsZSBub25jZQ==")


@given(
    st.binary(max_size=1000) | st.just(bytes(70_000)), st.binary(min_size=4, max_size=4)
)
def test_a_clients_frame_is_taken_once_it_is_complete(
    payload: bytes, mask: bytes
) -> None:
    plain = frame(payload, PING)
    head = len(plain) - len(payload)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    sent = plain[:1] + bytes([plain[1] | 0x80]) + plain[2:head] + mask + masked
    buffer = bytearray(sent[:-1])

    assert take_frame(buffer) is None
    buffer += sent[-1:] + b"next"
    assert take_frame(buffer) == (PING, payload)
    assert buffer == b"next"
