"""What is handed on from a daemon to the one that stands by in its place."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, cast

import trio

from snexec.cli import daemon
from snexec.intake import Kind
from tests.fakes import make_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from snexec.logs import LogDrain, SecretMask
    from snexec.settings import Settings


class Ring:
    """What only a look for garbage finds."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_a_daemon_leaves_behind_is_gone_before_another_stands_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(intake={"socket": str(tmp_path / "s")})
    left: list[weakref.ref[Ring]] = []
    found: list[Ring | None] = []

    async def run(*_args: object) -> Settings | None:
        await trio.lowlevel.checkpoint()
        if left:
            found.extend(ref() for ref in left)
            return None
        left.append(weakref.ref(Ring()))
        gc.freeze()  # as each one does at its start
        return settings

    monkeypatch.setattr(daemon, "_run_until_standby", run)
    logs = cast("tuple[SecretMask, LogDrain]", ())
    await daemon._main(tmp_path / "c", settings, logs, Kind.NOTHING, None)

    assert found == [None]
