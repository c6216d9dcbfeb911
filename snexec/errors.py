"""The errors of snexec, and who handles each.

SnexecError
├── ConfigError             what the user wrote or typed; the command line exits 2
├── StartError              refused or failed later; the command line exits 1
├── CommandError            an operator's command cannot be done; it exits 1
│   ├── NoDaemonError       nobody answers at the socket
│   ├── NotAllowedError     this user may not use the socket
│   └── DaemonGoneError     it answered, and then went away
├── InvalidSignalError      one input line; intake answers ``invalid``
├── StreamError             the connection to a stream: connect again
│   ├── StreamClosedError   it was open
│   ├── StreamRejectedError its handshake was answered with another HTTP status
│   ├── StreamUnauthorizedError  the broker does not take these keys
│   └── StreamRefusedError  market data is not for us now: the poll goes on
├── RedisError              signals from a stream: a new session, later
│   ├── RedisLostError      there is no connection, or no longer
│   └── RedisCommandError   the server refuses a command
└── BrokerError             one request to Alpaca
    ├── NotSentError        nothing left this machine: the order does not exist
    ├── UnknownOutcomeError it left, and no readable answer came: look it up
    ├── RateLimitedError    429: wait, look it up, send again
    └── RefusedError        a final 4xx: the broker's no
        ├── NotFoundError       404 to a look-up
        └── DuplicateOrderError 422: this client order id was accepted before
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

E = TypeVar("E", bound=BaseException)


class SnexecError(Exception):
    """Base of every error that snexec raises on purpose."""


class ConfigError(SnexecError):
    """The configuration, or the words of a command, cannot be used."""


class StartError(SnexecError):
    """The daemon cannot start here, though its configuration is valid."""


class CommandError(SnexecError):
    """What an operator's command asks for cannot be done."""


class NoDaemonError(CommandError):
    """No daemon answers at the socket."""


class NotAllowedError(CommandError):
    """The socket is there, and this user may not use it."""


class DaemonGoneError(CommandError):
    """The daemon closed the connection before it had answered."""


class InvalidSignalError(SnexecError):
    """A line is not a signal.

    Attributes:
        signal_id: The line's ``id``, if it could be read.
    """

    def __init__(self, message: str, *, signal_id: str | None = None) -> None:
        super().__init__(message)
        self.signal_id = signal_id


class StreamError(SnexecError):
    """There is no connection to a stream."""


class StreamClosedError(StreamError):
    """The connection was closed; says by whom, and with what words."""


class StreamRejectedError(StreamError):
    """The handshake was answered with another HTTP status than 101.

    Attributes:
        status_code: The HTTP status.
    """

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


class StreamUnauthorizedError(StreamError):
    """The broker does not take these keys."""


class StreamRefusedError(StreamError):
    """Market data is refused, by an error code of the stream's own (ALPACA-EXITS 2.1).

    Attributes:
        code: 402 the keys, 406 another connection has the slot, 409 the data plan.
    """

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code} {words}".rstrip())
        self.code = code


class RedisError(SnexecError):
    """Redis does not do what it is asked."""


class RedisLostError(RedisError):
    """There is no connection to Redis, or no longer."""


class RedisCommandError(RedisError):
    """Redis refuses a command."""


class BrokerError(SnexecError):
    """A request to the broker did not get what it asked for."""


class NoAccountError(BrokerError):
    """There is no account to ask: no keys for it, or only a simulated one."""


class NotSentError(BrokerError):
    """No connection was made, so the broker has never seen the request."""


class UnknownOutcomeError(BrokerError):
    """The request left, and what the broker did with it is not known."""


class RateLimitedError(BrokerError):
    """The broker answered 429.

    Attributes:
        wait_seconds: How long the broker asks to wait.
    """

    def __init__(self, message: str, *, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class RefusedError(BrokerError):
    """The broker answered with a final 4xx.

    Attributes:
        status_code: The HTTP status.
        body: The answer's body as text, secrets masked.
        reason: The broker's message, or the status if it gave none.
        is_about_symbol: Whether it is about the symbol, and no word on the account.
    """

    def __init__(
        self,
        *,
        status_code: int,
        body: str,
        reason: str,
        is_about_symbol: bool = False,
    ) -> None:
        status = f"HTTP {status_code}"
        super().__init__(status if reason == status else f"{status}: {reason}")
        self.status_code = status_code
        self.body = body
        self.reason = reason
        self.is_about_symbol = is_about_symbol


class NotFoundError(RefusedError):
    """A look-up was answered 404, which proves nothing by itself."""


class DuplicateOrderError(RefusedError):
    """This client order id was accepted before (422)."""


def leaves(group: BaseExceptionGroup[E]) -> Iterator[E]:
    """Yield the errors in a group, however deep they are."""
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from leaves(exc)
        else:
            yield exc


def reasons(group: BaseExceptionGroup[Any]) -> str:
    """Return what each error in a group says."""
    return "; ".join(first_words(exc) or type(exc).__name__ for exc in leaves(group))


def first_words(exc: BaseException | None) -> str:
    """Return the first words in a chain of errors: wrappers may have none."""
    while exc is not None and not (words := _words(exc)):
        exc = exc.__cause__ or exc.__context__
    return "" if exc is None else words


def _words(exc: BaseException) -> str:
    """Return what an error says; what a cancellation says is not meant for people."""
    return str(exc) if isinstance(exc, Exception) else ""


def no_answer(seconds: float) -> str:
    """Return the words for a broker that did not answer in time."""
    return f"no answer within {seconds:g} s"


def no_connection(seconds: float) -> str:
    """Return the words for a broker that could not be reached in time."""
    return f"no connection within {seconds:g} s"
