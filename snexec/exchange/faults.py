"""Faults of a whole account, and the ways a reply can get lost."""

from typing import Literal

import trio
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from snexec.exchange.connections import connection_of
from snexec.exchange.settings import LoseHow

_GATEWAY_HTML = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>"
    "</center>\r\n<hr><center>nginx/1.16.1</center>\r\n</body>\r\n</html>\r\n"
)


class RestFault(BaseModel):
    """What REST requests meet instead of their answer.

    Attributes:
        how: `respond` gives the status and body set here, `rate_limit` Alpaca's 429,
            `delay` the true answer late; the rest are ways of losing a reply.
        status: HTTP status of `respond`.
        body: Body of `respond`: a string goes out as it is, anything else as JSON.
        headers: Extra headers of `respond` and `rate_limit`.
        rate_headers: Whether the reply carries X-RateLimit headers.
        retry_after_sec: Seconds in the Retry-After header; None leaves it out.
        delay_sec: Seconds between the request and what happens.
        after_work: Whether the request is carried out first and only its reply is lost.
        method: The only HTTP method it holds for; None is all.
        path: It holds only for paths that start with this, such as `/v2/orders`.
        times: How many requests it holds for; None is until cleared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["respond", "rate_limit", "delay"] | LoseHow = "respond"
    status: int = Field(default=500, ge=200, le=599)
    body: JsonValue = None
    headers: dict[str, str] = Field(default_factory=dict)
    rate_headers: bool = True
    retry_after_sec: int | None = None
    delay_sec: float = Field(default=0.0, ge=0)
    after_work: bool = False
    method: str | None = None
    path: str | None = None
    times: int | None = Field(default=None, ge=1)

    def concerns(self, method: str, path: str) -> bool:
        """Return whether this fault holds for a request."""
        if self.method is not None and self.method != method:
            return False
        return self.path is None or path.startswith(self.path)


class StreamFaults(BaseModel):
    """How the stream of an account misbehaves until set otherwise.

    Attributes:
        refuse_upgrade: The HTTP status that upgrades are refused with.
        unauthorized: Every key is refused.
        ignore_auth: Authentication is never answered.
        ignore_listen: `listen` is never answered, and not obeyed.
        withhold_trade_updates: `listening` comes without `trade_updates`.
        text_frames: Text frames instead of binary ones.
        single_connection: A second connection is refused with 429.
        slot_hold_sec: Seconds for which the slot stays taken after a close.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    refuse_upgrade: int | None = Field(default=None, ge=400, le=599)
    unauthorized: bool = False
    ignore_auth: bool = False
    ignore_listen: bool = False
    withhold_trade_updates: bool = False
    text_frames: bool = False
    single_connection: bool = True
    slot_hold_sec: float = Field(default=0.0, ge=0)


class RestFaults:
    """The faults that are set; the first that fits a request is met."""

    def __init__(self) -> None:
        self._set: list[tuple[RestFault, int | None]] = []

    def add(self, fault: RestFault) -> None:
        """Set a fault, after those that are set already."""
        self._set.append((fault, fault.times))

    def clear(self) -> None:
        """Remove all faults; requests that hang go on hanging."""
        self._set.clear()

    def take(self, method: str, path: str) -> RestFault | None:
        """Return the fault that a request meets, if any, and count it."""
        for index, (fault, left) in enumerate(self._set):
            if not fault.concerns(method, path):
                continue
            if left == 1:
                del self._set[index]
            elif left is not None:
                self._set[index] = (fault, left - 1)
            return fault
        return None


def fault_reply(fault: RestFault) -> Response:
    """Return the reply of a fault that replies."""
    headers = dict(fault.headers)
    if fault.retry_after_sec is not None:
        headers["Retry-After"] = str(fault.retry_after_sec)
    if fault.how == "rate_limit":
        body = {"code": 42910000, "message": "rate limit exceeded"}
        return JSONResponse(body, status_code=429, headers=headers)
    if isinstance(fault.body, str):
        return Response(fault.body, status_code=fault.status, headers=headers)
    if fault.body is None:
        return Response(status_code=fault.status, headers=headers)
    return JSONResponse(fault.body, status_code=fault.status, headers=headers)


async def lose_reply(how: LoseHow, request: Request) -> Response:
    """Lose a reply, so that the client does not learn the answer.

    `reset`, `close` and `hang` return a reply that goes nowhere.
    """
    connection = connection_of(request)
    match how:
        case "reset":
            connection.reset()
        case "close":
            connection.close()
        case "hang":
            await hang(request)
        case "500":
            return JSONResponse(
                {"code": 50010000, "message": "internal server error occurred"}, 500
            )
        case "502_html":
            return HTMLResponse(_GATEWAY_HTML.format(title="502 Bad Gateway"), 502)
        case "504_html":
            return HTMLResponse(_GATEWAY_HTML.format(title="504 Gateway Time-out"), 504)
        case "garbage_200":
            return Response(
                b'{"id":"f1a08ee3-8b15-4d31-', media_type="application/json"
            )
    return Response()


async def hang(request: Request) -> None:
    """Wait until the client gives up."""
    while (await request.receive())["type"] != "http.disconnect":
        await trio.lowlevel.checkpoint()
