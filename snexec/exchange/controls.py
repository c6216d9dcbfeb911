"""How a control is reached over HTTP and JSON."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from snexec.exchange.errors import ApiError

Model = TypeVar("Model", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[object]]


def control_route(method: str, path: str, endpoint: Endpoint) -> Route:
    """Make the route of a control: 204 for None, 422 for a body that makes no sense."""

    async def answered(request: Request) -> Response:
        try:
            result = await endpoint(request)
        except ApiError as exc:
            return JSONResponse(exc.body, exc.status)
        # pydantic's ValidationError is one; so is bad base64.
        except ValueError as exc:
            return JSONResponse({"error": str(exc)}, 422)
        except ClientDisconnect:
            return Response()
        if isinstance(result, Response):
            return result
        return Response(status_code=204) if result is None else JSONResponse(result)

    return Route(path, answered, methods=[method])


async def parse(request: Request, model: type[Model]) -> Model:
    """Read a request's body; an empty one is an empty object.

    Raises:
        ValueError: It makes no sense.
    """
    return model.model_validate_json(await request.body() or b"{}")
