"""Requests are counted by the window that the headers speak of."""

from snexec.exchange.ratelimit import RateWindow

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ns = 1_000 * SECOND + 1

    def __call__(self) -> int:
        return self.ns


def test_so_many_requests_are_served_a_window_and_no_more() -> None:
    window = RateWindow(2, Clock())
    assert [window.take() for _ in range(4)] == [True, True, False, False]


def test_the_headers_say_what_is_left_and_until_when() -> None:
    window = RateWindow(2, Clock())
    left = [window.headers()["X-RateLimit-Remaining"]]
    for _ in range(3):
        window.take()
        left.append(window.headers()["X-RateLimit-Remaining"])
    assert left == ["2", "1", "0", "0"]
    assert window.headers()["X-RateLimit-Limit"] == "2"
    assert window.headers()["X-RateLimit-Reset"] == "1061", "a second that has begun"


def test_who_waits_for_the_end_that_was_said_is_served() -> None:
    clock = Clock()
    window = RateWindow(1, clock)
    window.take()
    clock.ns = 1061 * SECOND - 1
    assert not window.take()
    clock.ns = 1061 * SECOND
    assert window.headers()["X-RateLimit-Remaining"] == "1"
    assert window.take()
    assert window.headers()["X-RateLimit-Reset"] == "1121"


def test_a_window_that_is_lowered_below_what_was_used_leaves_nothing() -> None:
    window = RateWindow(3, Clock())
    for _ in range(3):
        window.take()
    window.limit = 1
    assert window.headers()["X-RateLimit-Remaining"] == "0"


def test_a_window_that_is_restarted_has_all_its_requests_again() -> None:
    window = RateWindow(1, Clock())
    window.take()
    window.restart()
    assert window.take()
