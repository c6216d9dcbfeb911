"""What a reply means, judged by its status and its body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.replies import is_final_refusal, readable, refusal
from snexec.errors import DuplicateOrderError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

UNIQUE = "client_order_id must be unique"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(status=st.integers(0, 999))
def test_only_a_4xx_that_may_not_change_its_mind_is_final(status: int) -> None:
    final = 400 <= status <= 499 and status not in {408, 425, 429}
    assert is_final_refusal(status) == final


@pytest.mark.parametrize("read", [bytes.decode, readable])
@pytest.mark.parametrize("status", [404, 422, 403])
@pytest.mark.parametrize("before", [0, 5000])
def test_a_reason_counts_wherever_in_the_body_it_stands(
    read: Callable[[bytes], str], status: int, before: int
) -> None:
    body = json.dumps({"existing_order": "x" * before, "message": UNIQUE})
    error = refusal(status, read(body.encode()))
    kinds = {404: NotFoundError, 422: DuplicateOrderError, 403: RefusedError}
    assert type(error) is kinds[status]
    assert (error.status_code, error.reason) == (status, UNIQUE)
    assert len(error.body) <= 2000


@given(status=st.integers(100, 599), text=st.text(max_size=50) | JSON.map(json.dumps))
def test_any_answer_makes_an_error_that_names_its_status(
    status: int, text: str
) -> None:
    error = refusal(status, text)
    assert error.status_code == status
    assert error.body == text
    assert error.reason


@given(body=st.binary() | JSON.map(json.dumps).map(str.encode))
def test_any_body_can_be_shown(body: bytes) -> None:
    assert isinstance(readable(body), str)


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=1).filter(
        lambda text: not set(text) & set('"\\') and text.isprintable()
    ),
    escaped=st.booleans(),
)
def test_no_escape_hides_a_secret_from_the_mask(secret: str, escaped: bool) -> None:
    if escaped:
        text = "".join(rf"\u{ord(char):04x}" for char in secret if ord(char) < 0x10000)
        secret = "".join(char for char in secret if ord(char) < 0x10000)
        body = f'{{"message":"key {text} is unknown"}}'.encode()
    else:
        body = json.dumps({"message": f"key {secret} is unknown"}).encode()
    assert secret in readable(body)


def test_what_is_told_of_a_refusal_is_not_longer_than_what_can_be_read() -> None:
    error = refusal(403, json.dumps({"message": "x" * 100_000}))
    assert error.reason == "x" * 2000
    assert len(error.body) == 2000
