"""MessagePack holds JSON's values, and times as it spells them."""

import msgpack
import pytest

from snexec.exchange.packing import pack, unpack
from snexec.exchange.spelling import Moment


def test_what_is_packed_is_unpacked() -> None:
    value = [{"T": "t", "p": 1.5, "c": ["@"], "i": 7, "x": None}]
    assert unpack(pack(value)) == value


def test_a_moment_is_a_timestamp_to_the_nanosecond() -> None:
    stamp = unpack(pack({"t": Moment(1_767_614_400_123_456_789)}))
    assert isinstance(stamp, dict)
    assert isinstance(stamp["t"], msgpack.Timestamp)
    assert stamp["t"].to_unix_nano() == 1_767_614_400_123_456_789


def test_nothing_else_is_packed() -> None:
    with pytest.raises(TypeError, match="cannot pack complex"):
        pack(1j)


def test_what_is_no_messagepack_is_said_to_be_none() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it has no words
        unpack(b"\xc1")
