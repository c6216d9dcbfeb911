"""What is answered at which path: the one place where that is listed (SPEC 14)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import Route, Router

from snexec.web.access import SIGNALS, Guard
from snexec.web.actions import Actions
from snexec.web.answers import Answer, in_json
from snexec.web.assets import Assets
from snexec.web.endpoints import Act, Get, Sheets
from snexec.web.explain import explain
from snexec.web.trades import read_trades, wanted

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from snexec.ops import Commands
    from snexec.web.access import Access
    from snexec.web.charts import Charts
    from snexec.web.live import Live
    from snexec.web.metrics import Metrics
    from snexec.web.rows import Rows
    from snexec.web.signals import Signals
    from snexec.web.snapshot import Snapshots

_GET, _POST = ["GET"], ["POST"]


class Shown(NamedTuple):
    """What the page shows, and through what it acts.

    Attributes:
        snapshots: How all is now.
        live: Sends them, and what happens.
        rows: Asks the database.
        charts: The day in figures.
        commands: What the socket's clients may ask.
        signals: Takes what is posted, if anybody may.
    """

    snapshots: Snapshots
    live: Live
    rows: Rows
    charts: Charts
    commands: Commands
    signals: Signals | None


def metrics_app(metrics: Metrics) -> ASGIApp:
    """Return what answers where only figures are served."""
    return Guard(_router(_open_to_all(metrics)), None)


def signals_app(signals: Signals) -> ASGIApp:
    """Return what answers where only signals are taken."""
    return Guard(_router([_posts(signals)]), None, takes_signals=True)


def page_app(metrics: Metrics, shown: Shown, access: Access) -> ASGIApp:
    """Return what answers where the page is served."""
    pages = _Pages(shown, access.key.token)
    actions = Actions(shown.commands, shown.snapshots)
    signals = [] if shown.signals is None else [_posts(shown.signals)]
    return Guard(
        _router(
            [
                *_open_to_all(metrics),
                *signals,
                Route("/", Get(pages.index), methods=_GET),
                Route("/assets/{name}", Get(pages.asset), methods=_GET),
                Route("/api/live", shown.live, methods=_GET),
                Route("/api/snapshot", Get(pages.snapshot), methods=_GET),
                Route("/api/trades", Get(pages.trades), methods=_GET),
                Route("/api/trades.csv", Sheets(shown.rows), methods=_GET),
                Route("/api/charts", Get(pages.charts), methods=_GET),
                Route("/api/explain", Get(pages.explain), methods=_GET),
                Route("/api/halt", Act(actions.halt), methods=_POST),
                Route("/api/resume", Act(actions.resume), methods=_POST),
                Route("/api/close", Act(actions.close), methods=_POST),
            ]
        ),
        access,
        takes_signals=bool(signals),
    )


def _posts(signals: Signals) -> Route:
    # With whatever method and path: a wrong token is answered as any other one.
    return Route(f"{SIGNALS}{{token:path}}", signals)


def _open_to_all(metrics: Metrics) -> list[Route]:
    async def figures(request: Request) -> Answer:
        return await metrics.figures(request.headers.get("accept", ""))

    async def health(_request: Request) -> Answer:
        return metrics.health()

    return [
        Route("/metrics", Get(figures), methods=_GET),
        Route("/healthz", Get(health), methods=_GET),
    ]


def _router(routes: list[Route]) -> Router:
    return Router(routes, redirect_slashes=False)


class _Pages:
    def __init__(self, shown: Shown, token: str) -> None:
        self._shown = shown
        self._token = token
        self._assets = Assets()

    async def index(self, _request: Request) -> Answer:
        title = f"snexec {self._shown.snapshots.kind}"
        return self._assets.index(title=title, token=self._token)

    async def asset(self, request: Request) -> Answer:
        return self._assets.named(request.path_params["name"])

    async def snapshot(self, _request: Request) -> Answer:
        return Answer((await self._shown.snapshots.latest()).data)

    async def trades(self, request: Request) -> Answer:
        asked = wanted(request.query_params)
        return in_json(await self._shown.rows.ask(partial(read_trades, asked=asked)))

    async def charts(self, _request: Request) -> Answer:
        return await self._shown.charts.latest()

    async def explain(self, request: Request) -> Answer:
        text = request.query_params.get("signal", "")
        return await explain(self._shown.commands, text)
