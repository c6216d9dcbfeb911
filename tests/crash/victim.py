"""Run the daemon, and kill it with SIGKILL when it reaches a named step.

    python -m tests.crash.victim STEP COUNT --config FILE …

STEP is one of ``STEPS`` or ``SELL_STEPS``, COUNT says at which time it is reached; of
``NO_STEP`` the daemon does not die. One that is negative has it stand still instead. In the stories of sells it sells all that it buys. The product has no
hooks for this: its functions are wrapped here, before its command line runs.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import functools
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from snexec.__main__ import main
from snexec.broker.client import AlpacaClient
from snexec.broker.sent import SentOrder
from snexec.broker.wire import Connection
from snexec.cli import daemon
from snexec.ledger import checkpoints, schema
from snexec.ledger.exit_rows import ExitApplied, NewExit
from snexec.ledger.exits import Exits
from snexec.ledger.found import FoundRows
from snexec.ledger.rows import Applied
from snexec.ledger.store import Store
from snexec.orders.sell_desk import SellDesk
from snexec.reconciliation.fills import Fills
from snexec.redis.acks import Acknowledger
from snexec.redis.reader import Reader
from snexec.redis.undecided import Undecided
from snexec.risk import Active
from snexec.stages import Stages
from snexec.stream.trading import TradingStream

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from snexec.clock import Clock

Result = Any

_CHECKPOINT_EVERY = 4  # so that a few rows are enough for a checkpoint


class _Bomb:
    """Ends this process the n-th time that it is lit."""

    def __init__(self, count: int) -> None:
        self._left = abs(count)
        self._signal = signal.SIGKILL if count > 0 else signal.SIGSTOP

    def light(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._signal)


def _wrap(owner: object, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a function by ``wrapper(original, *args)``."""
    _set(owner, name, functools.partialmethod(_call, wrapper, getattr(owner, name)))


def _set(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


def _call(
    self: object,
    wrapper: Callable[..., Any],
    original: Callable[..., Any],
    *args: object,
    **more: object,
) -> Any:  # noqa: ANN401 - whatever the function returns
    return wrapper(functools.partial(original, self), *args, **more)


def _on_entry(owner: object, *names: str) -> Callable[[_Bomb], None]:
    """Kill when one of the functions, async or not, is called."""

    def install(bomb: _Bomb) -> None:
        def wrapper(
            original: Callable[..., Result], *args: object, **more: object
        ) -> Result:
            bomb.light()
            return original(*args, **more)

        for name in names:
            _wrap(owner, name, wrapper)

    return install


def _on_commit(
    *names: str,
    did: Callable[[Any], bool],
    before: bool = False,
    owner: type = Store,
) -> Callable[[_Bomb], None]:
    """Kill around the commit of a change of the store's that did something."""

    def install(bomb: _Bomb) -> None:
        done = 0

        def change(
            original: Callable[..., Result], *args: object, **more: object
        ) -> Result:
            nonlocal done
            result = original(*args, **more)
            done += did(result)
            return result

        def commit(original: Callable[[], None]) -> None:
            nonlocal done
            lit, done = done, 0
            if not before:
                original()
            for _ in range(lit):
                bomb.light()
            if before:
                original()

        for name in names:
            _wrap(owner, name, change)
        _wrap(Store, "commit", commit)

    return install


def _changed(applied: Applied | ExitApplied | None) -> bool:
    return applied is not None and applied.changed


def _on_order_written(share: float) -> Callable[[_Bomb], None]:
    """Kill when so much of an order's request has been given to the kernel."""

    def install(bomb: _Bomb) -> None:
        def write(original: Callable[[bytes], int], data: bytes) -> int:
            taken = original(data[: int(len(data) * share)])
            bomb.light()
            return taken

        _wrap(Connection, "_write", write)

    return install


def _on_second_connection(bomb: _Bomb) -> None:
    """Kill when a restarted stream is about to connect anew."""
    restarted = False

    def restart(original: Callable[[], None]) -> None:
        nonlocal restarted
        restarted = True
        original()

    def attempt(original: Callable[[], Result]) -> Result:
        if restarted:
            bomb.light()
        return original()

    _wrap(TradingStream, "restart", restart)
    _wrap(TradingStream, "_attempt", attempt)


class _Vfs(ctypes.Structure):
    """The head of ``sqlite3_vfs``, a public structure of SQLite's."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p),
        ("zName", ctypes.c_char_p),
        ("pAppData", ctypes.c_void_p),
        ("functions", ctypes.c_void_p * 12),
        ("xCurrentTimeInt64", ctypes.c_void_p),
        ("xSetSystemCall", ctypes.c_void_p),
    )


_PWRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
)
_SET_CALL = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)
_KEPT: list[object] = []  # what C code holds a pointer to


def _on_checkpoint(bomb: _Bomb) -> None:
    """Kill between the pages that a checkpoint writes to the database file.

    In WAL mode nothing else writes that file. Where SQLite's own functions cannot be
    had, the kill comes right after a commit that made a checkpoint.
    """
    original = schema.open_database

    def open_database(
        path: Path, *, simulated: bool, clock: Clock
    ) -> sqlite3.Connection:
        connection = original(path, simulated=simulated, clock=clock)
        try:
            _watch_writes(path, bomb)
        except (AttributeError, OSError):
            _on_commit("_write", did=_changed)(bomb)
        return connection

    _set(daemon, "open_database", open_database)
    _set(checkpoints, "_CHECKPOINT_EVERY", _CHECKPOINT_EVERY)


def _watch_writes(path: Path, bomb: _Bomb) -> None:
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None)
    set_call = _SET_CALL(vfs.contents.xSetSystemCall)
    inode = path.stat().st_ino

    def pwrite(fd: int, data: int, size: int, offset: int) -> int:
        if os.fstat(fd).st_ino == inode:
            bomb.light()
        with contextlib.suppress(OSError):
            return os.pwrite(fd, ctypes.string_at(data, size), offset)
        return -1

    callback = _PWRITE(pwrite)
    _KEPT.append(callback)
    address = ctypes.cast(callback, ctypes.c_void_p)
    for name in (b"pwrite64", b"pwrite"):
        set_call(vfs, name, address)


STEPS: dict[str, Callable[[_Bomb], None]] = {
    "row uncommitted": _on_commit(
        "open_trade", did=lambda opening: opening == "opened", before=True
    ),
    "row written": _on_commit("open_trade", did=lambda opening: opening == "opened"),
    "POST half sent": _on_order_written(0.5),
    "POST sent": _on_order_written(1.0),
    "reply read": _on_entry(SentOrder, "ended"),
    "id uncommitted": _on_commit("apply_working", did=_changed, before=True),
    "id stored": _on_commit("apply_working", did=_changed),
    "event received": _on_entry(Fills, "on_fill_event", "on_rejected_event"),
    "partial fill applied": _on_commit("apply_partial_fill", did=_changed),
    "fill uncommitted": _on_commit("apply_fill", did=_changed, before=True),
    "fill applied": _on_commit("apply_fill", did=_changed),
    "end applied": _on_commit("apply_ended", did=_changed),
    "row discarded": _on_commit("discard_trade", did=bool),
    "look-up read": _on_entry(Fills, "on_looked_up"),
    "order given up": _on_commit("mark_not_found", did=_changed),
    "mode switching": _on_entry(TradingStream, "restart"),
    "mode switched": _on_second_connection,
    "WAL checkpoint": _on_checkpoint,
}


def _is_planned(planned: NewExit | str) -> bool:
    return isinstance(planned, NewExit)


def _sold_in_part(applied: ExitApplied | None) -> bool:
    return applied is not None and bool(applied.executed) and not applied.closed


def _closed(applied: ExitApplied | None) -> bool:
    return applied is not None and applied.closed


def _of_a_stop(applied: ExitApplied | None) -> bool:
    return applied is not None and applied.changed and applied.kind == "stop"


def _on_written(words: bytes) -> Callable[[_Bomb], None]:
    """Kill when a whole request with these words has been given to the kernel."""

    def install(bomb: _Bomb) -> None:
        def write(original: Callable[[bytes], int], data: bytes) -> int:
            taken = original(data)
            if words in data:
                bomb.light()
            return taken

        _wrap(Connection, "_write", write)

    return install


# Of a daemon that sells what it buys.
SELL_STEPS: dict[str, Callable[[_Bomb], None]] = {
    "exit decided": _on_commit("plan", did=_is_planned, before=True, owner=Exits),
    "planned durable": _on_commit("plan", did=_is_planned, owner=Exits),
    "sell sent": _on_written(b'"side":"sell"'),
    "sell accepted": _on_entry(SellDesk, "sell_answered"),
    "sell's id stored": _on_commit("apply_working", did=_changed, owner=Exits),
    "sell refused": _on_commit("apply_gone", did=_changed, owner=Exits),
    "sell ended": _on_commit("apply_ended", did=_changed, owner=Exits),
    "part sold": _on_commit("apply_sold", did=_sold_in_part, owner=Exits),
    "close uncommitted": _on_commit(
        "apply_sold", did=_closed, before=True, owner=Exits
    ),
    "closed": _on_commit("apply_sold", did=_closed, owner=Exits),
}
# Of one that has a stop rest at the broker for each row.
STOP_STEPS: dict[str, Callable[[_Bomb], None]] = {
    "stop sent": _on_written(b'"type":"stop"'),
    "stop placed": _on_commit("apply_working", did=_of_a_stop, owner=Exits),
    "cancel noted": _on_commit("note_cancel", did=lambda _nothing: True, owner=Exits),
    "cancel asked": _on_entry(AlpacaClient, "cancel"),
    "stop canceled": _on_commit("apply_ended", did=_of_a_stop, owner=Exits),
}
# Of several hosts that share a stream.
REDIS_STEPS: dict[str, Callable[[_Bomb], None]] = {
    "lease taken": _on_entry(Active, "hold"),
    "taking over": _on_entry(Stages, "_load"),
    "row adopted": _on_commit(
        "adopt", did=lambda row: row is not None, owner=FoundRows
    ),
    "entries read": _on_entry(Reader, "_feed"),
    "entry taken": _on_entry(Undecided, "taken"),
    "acknowledging": _on_entry(Acknowledger, "acknowledge"),
    "acknowledged": _on_entry(Undecided, "acknowledged"),
}
NO_STEP = "none"


if __name__ == "__main__":
    step, count, *rest = sys.argv[1:]
    if step != NO_STEP:
        (STEPS | SELL_STEPS | STOP_STEPS | REDIS_STEPS)[step](_Bomb(int(count)))
    sys.argv = ["snexec", *rest]
    main()
