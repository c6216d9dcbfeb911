"""Errors are told apart by what their handlers do, and carry data."""

import pytest
import trio

from snexec import errors


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.ConfigError, errors.SnexecError),
        (errors.StartError, errors.SnexecError),
        (errors.InvalidSignalError, errors.SnexecError),
        (errors.BrokerError, errors.SnexecError),
        (errors.NotSentError, errors.BrokerError),
        (errors.UnknownOutcomeError, errors.BrokerError),
        (errors.RateLimitedError, errors.BrokerError),
        (errors.RefusedError, errors.BrokerError),
        (errors.NotFoundError, errors.RefusedError),
        (errors.DuplicateOrderError, errors.RefusedError),
    ],
)
def test_the_tree_is_the_one_that_is_drawn(
    error: type[Exception], base: type[Exception]
) -> None:
    assert error.__bases__ == (base,)


def test_an_invalid_signal_carries_its_id() -> None:
    error = errors.InvalidSignalError("symbol: Field required", signal_id="n-1")

    assert str(error) == "symbol: Field required"
    assert error.signal_id == "n-1"
    assert errors.InvalidSignalError("x").signal_id is None


def test_a_rate_limit_carries_its_wait() -> None:
    error = errors.RateLimitedError("HTTP 429: slow down", wait_seconds=1.5)

    assert str(error) == "HTTP 429: slow down"
    assert error.wait_seconds == 1.5


def test_a_refusal_carries_status_body_and_reason() -> None:
    error = errors.RefusedError(status_code=403, body="{}", reason="no money")

    assert str(error) == "HTTP 403: no money"
    assert (error.status_code, error.body, error.reason) == (403, "{}", "no money")


def test_a_refusal_without_words_says_its_status_once() -> None:
    silent = errors.RefusedError(status_code=401, body="", reason="HTTP 401")
    spoken = errors.RefusedError(status_code=403, body="", reason="no money")

    assert str(silent) == "HTTP 401"
    assert str(spoken) == "HTTP 403: no money"


async def test_the_first_words_are_never_those_of_a_cancellation() -> None:
    found: list[str] = []
    with trio.CancelScope() as scope:
        scope.cancel(reason="every order has ended")
        try:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                raise OSError from None
        except OSError as exc:
            found.append(errors.first_words(exc))
    assert found == [""]
    outer = OSError("the outer one")
    outer.__cause__ = OSError("the inner one")
    assert errors.first_words(outer) == "the outer one"
