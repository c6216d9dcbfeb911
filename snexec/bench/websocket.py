"""The server's side of WebSocket framing, as far as the stand-in broker needs it."""

from __future__ import annotations

import base64
import hashlib

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL = 0x80
_TWO_BYTE_LENGTH, _EIGHT_BYTE_LENGTH = 126, 127
_MOST_IN_TWO_BYTES = 0xFFFF


def upgrade(key: bytes) -> bytes:
    """Return the answer to an upgrade request with this Sec-WebSocket-Key."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
        % base64.b64encode(digest)
    )


def frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """Return an unmasked frame."""
    length = len(payload)
    if length < _TWO_BYTE_LENGTH:
        head = bytes([_FINAL | opcode, length])
    elif length <= _MOST_IN_TWO_BYTES:
        head = bytes([_FINAL | opcode, _TWO_BYTE_LENGTH]) + length.to_bytes(2, "big")
    else:
        head = bytes([_FINAL | opcode, _EIGHT_BYTE_LENGTH]) + length.to_bytes(8, "big")
    return head + payload


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take a client's frame, masked and in one piece, off a buffer.

    Returns:
        Its opcode and payload, or None while it is not complete.
    """
    if len(buffer) < 2:
        return None
    start, length = 2, buffer[1] & 0x7F
    if length >= _TWO_BYTE_LENGTH:
        start = 4 if length == _TWO_BYTE_LENGTH else 10
        length = int.from_bytes(buffer[2:start], "big")
    end = start + 4 + length
    if len(buffer) < end:
        return None
    opcode, mask = buffer[0] & 0x0F, buffer[start : start + 4]
    payload = bytes(
        byte ^ mask[place % 4] for place, byte in enumerate(buffer[start + 4 : end])
    )
    del buffer[:end]
    return opcode, payload
