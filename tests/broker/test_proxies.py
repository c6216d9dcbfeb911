"""A proxy that is ignored is named, and never shown."""

from __future__ import annotations

import pytest

from snexec.broker.proxies import ignored_proxies

PROXY = "http://me:password@proxy.example:3128"
REST = "set in the environment and not used; orders go direct, never through a proxy"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"])
def test_a_variable_is_named_in_either_case(name: str) -> None:
    assert ignored_proxies({name: PROXY}) == f"{name}: {REST}"
    assert ignored_proxies({name.lower(): PROXY}) == f"{name.lower()}: {REST}"


def test_all_that_are_set_are_one_sentence() -> None:
    both = {"https_proxy": PROXY, "HTTP_PROXY": PROXY}
    assert ignored_proxies(both) == f"HTTP_PROXY, https_proxy: {REST}"


@pytest.mark.parametrize("environ", [{}, {"HTTPS_PROXY": ""}, {"NO_PROXY": "*"}])
def test_without_a_proxy_nothing_is_said(environ: dict[str, str]) -> None:
    assert ignored_proxies(environ) == ""
