"""Alpaca's error replies: HTTP status and JSON body, as recorded."""

from collections.abc import Mapping

Scalar = str | int


class ApiError(Exception):
    """A request is refused.

    Attributes:
        status: HTTP status.
        body: JSON object of the reply.
    """

    def __init__(self, status: int, code: int, message: str, **extra: Scalar) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.body: Mapping[str, Scalar] = {"code": code, "message": message, **extra}


def invalid(message: str) -> ApiError:
    """Return the refusal of a request whose fields make no sense."""
    return ApiError(422, 40010001, message)


def unprocessable(message: str) -> ApiError:
    """Return the refusal of a request that breaks a trading rule."""
    return ApiError(422, 42210000, message)


def forbidden(message: str, **extra: Scalar) -> ApiError:
    """Return the refusal of a request that the account may not make."""
    return ApiError(403, 40310000, message, **extra)


def not_found(message: str) -> ApiError:
    """Return the reply that something does not exist."""
    return ApiError(404, 40410000, message)


def order_not_found(order_id: str) -> ApiError:
    """Return the reply that an order does not exist."""
    return not_found(f"order not found for {order_id}")


def rate_limited() -> ApiError:
    """Return the refusal of a request over the rate limit."""
    return ApiError(429, 42910000, "rate limit exceeded")


def unauthorized_key() -> ApiError:
    """Return the refusal of a key that this account does not know."""
    return ApiError(401, 40110000, "request is not authorized")


_USUAL: dict[int, tuple[int, str]] = {
    400: (40010000, "request body format is invalid"),
    401: (40110000, "request is not authorized"),
    403: (40310000, "account is not authorized to trade"),
    404: (40410000, "endpoint not found"),
    422: (42210000, 'asset "{symbol}" not found'),
    429: (42910000, "rate limit exceeded"),
    500: (50010000, "internal server error occurred"),
    504: (50410000, "backend request timeout"),
}


def refusal(
    status: int, symbol: str, message: str | None = None, code: int | None = None
) -> ApiError:
    """Return the refusal of an order whose symbol is set to be refused."""
    usual_code, usual_message = _USUAL.get(status, (status * 100_000, "refused"))
    return ApiError(
        status,
        usual_code if code is None else code,
        usual_message.format(symbol=symbol) if message is None else message,
    )
