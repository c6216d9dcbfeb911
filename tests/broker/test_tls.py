"""Which certificates are trusted, and what names them."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from snexec.broker.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Authority


def test_tls_is_verified_with_certifis_bundle_by_default() -> None:
    context = tls_context({})
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) > 50


@pytest.mark.parametrize("empty", [{"SSL_CERT_FILE": ""}, {"SSL_CERT_DIR": ""}])
def test_an_empty_variable_names_nothing(empty: dict[str, str]) -> None:
    assert len(tls_context(empty).get_ca_certs()) > 50


def test_a_bundle_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        tls_context({"SSL_CERT_FILE": str(tmp_path / "nowhere.pem")})


def test_a_pipe_in_the_bundles_place_is_an_error_and_not_waited_for(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "bundle.pem")
    with pytest.raises(OSError, match="is not a regular file"):
        tls_context({"SSL_CERT_FILE": str(tmp_path / "bundle.pem")})


def test_a_named_bundle_is_the_only_one(authority: Authority) -> None:
    found: Iterator[Any] = iter(
        tls_context({"SSL_CERT_FILE": str(authority.bundle)}).get_ca_certs()
    )
    assert [dict(sum(ca["subject"], ()))["commonName"] for ca in found] == [
        "throwaway CA"
    ]
