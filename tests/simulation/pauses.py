"""Machines that stand still: none of their tasks runs, while time and all others go on.

What a machine has sent goes on without it, so that runs outside.
"""

from __future__ import annotations

import math
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import trio
from trio._core._run import GLOBAL_RUN_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOST: ContextVar[Any] = ContextVar("host", default=None)
_IS_OUTSIDE: ContextVar[bool] = ContextVar("is_outside", default=False)


def outside(
    nursery: trio.Nursery, function: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Start a task that goes on whatever stands still; it still knows for whom it is."""

    def start() -> None:
        _IS_OUTSIDE.set(True)
        nursery.start_soon(function, *args)

    copy_context().run(start)


class Pauses(trio.abc.Instrument):
    """Holds back every task of a host that stands still, until that is over."""

    def __init__(self) -> None:
        self._held: dict[object, list[trio.lowlevel.Task]] = {}

    def stands_still(self, host: object) -> bool:
        return host in self._held

    def stop(self, host: object, *, uncounted: float = 0.0) -> None:
        """Have no task of a host go on; the one that calls does so to its next wait.

        Args:
            host: Whose.
            uncounted: For how many seconds its monotonic clock does not go on either.
        """
        self._held.setdefault(host, [])
        if not uncounted:
            return
        for _at, _number, scope in list(GLOBAL_RUN_CONTEXT.runner.deadlines._heap):
            status = scope._cancel_status
            tasks = set() if status is None else status._tasks
            is_set = scope._registered_deadline < math.inf
            if is_set and any(_is_of(host, task) for task in tasks):
                scope.deadline += uncounted

    def go_on(self, host: object) -> None:
        """Have whatever came due meanwhile happen."""
        GLOBAL_RUN_CONTEXT.runner.runq.extend(self._held.pop(host, []))

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Hold a task back, if its host stands still."""
        if not self._held:
            return
        host = task.context.get(HOST)
        if host in self._held and _is_of(host, task):
            assert GLOBAL_RUN_CONTEXT.runner.runq.pop() is task
            self._held[host].append(task)


def _is_of(host: object, task: trio.lowlevel.Task) -> bool:
    context = task.context
    return context.get(HOST) is host and not context.get(_IS_OUTSIDE)
