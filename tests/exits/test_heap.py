"""What is large goes back to the system, whatever lives on beside it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
from pathlib import Path
from snexec.exits.heap import give_back_large

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

give_back_large()
before = resident()
for _ in range(2):  # glibc learns from the first
    large = bytearray(16_000_000)
    kept = bytearray(100_000)  # behind it
    del large
print(resident() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps it"
)
def test_a_large_block_is_given_back_though_a_small_one_behind_it_lives() -> None:
    left = subprocess.check_output([sys.executable, "-c", _PROGRAM], text=True)
    assert int(left) < 4_000_000
