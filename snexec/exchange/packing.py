"""MessagePack, which the official SDK asks for, and brings along; loaded late."""

import msgpack

from snexec.exchange.spelling import Moment


def pack(value: object) -> bytes:
    """Pack JSON's values, and moments as timestamps."""
    packed: bytes = msgpack.packb(value, default=_stamp)
    return packed


def unpack(data: bytes) -> object:
    """Unpack one value.

    Raises:
        ValueError: The data is no MessagePack.
    """
    value: object = msgpack.unpackb(data)
    return value


def _stamp(value: object) -> object:
    if isinstance(value, Moment):
        return msgpack.Timestamp.from_unix_nano(value.ns)
    raise TypeError(f"cannot pack {type(value).__name__}")
