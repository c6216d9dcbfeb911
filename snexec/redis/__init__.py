"""REDIS: signals from a stream that many hosts may share, and who of them is active.

It owns one session with the server after the other, which entries are not decided yet,
and which are acknowledged. Its state is written by its own tasks and by the feed, which
says what became of each signal. It never waits for an order, never orders anything, and
acknowledges nothing that is not decided and durable. The driver is imported only where
``[redis]`` is set.
"""

from __future__ import annotations

from snexec.redis.feeder import RedisFeeder as RedisFeeder
from snexec.redis.feeder import RedisStatus as RedisStatus
from snexec.redis.feeder import feeder_of as feeder_of
from snexec.redis.lease import LEASE_RELEASED as LEASE_RELEASED
from snexec.redis.lease import Lease as Lease
from snexec.redis.lease import LeaseState as LeaseState
from snexec.redis.lease import lease_key as lease_key
