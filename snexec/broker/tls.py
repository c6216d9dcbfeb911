"""Which certificates are trusted."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import certifi

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


def tls_context(environ: os._Environ[str] | Mapping[str, str]) -> ssl.SSLContext:
    """Make the context that verifies the broker, for REST and WebSocket alike.

    It trusts certifi's bundle, or what ``SSL_CERT_FILE``/``SSL_CERT_DIR`` name.

    Raises:
        OSError: A named file or folder cannot be read, or is a pipe or a device.
    """
    cafile, capath = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if not cafile and not capath:
        cafile = certifi.where()
    path = Path(cafile or "")
    if path.exists() and not (path.is_file() or path.is_dir()):
        # It would be waited for, perhaps for ever.
        raise OSError(errno.EINVAL, "is not a regular file")
    return ssl.create_default_context(cafile=cafile or None, capath=capath or None)
