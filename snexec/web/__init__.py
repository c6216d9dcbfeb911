"""WEB: the operator's page, metrics, the health check, and signals over HTTP.

It is imported only where ``[page]``, ``[metrics]`` or ``[http]`` is on. It owns its
listeners, its connections, the key of the page, who may post signals, and what it notes of
the day for charts. It reads what each wing says of itself in a ``status()``, and rows over a
read-only connection in a thread of its own; whatever a browser or a producer does is
bounded, and nothing here is waited for by an order. What the operator does there goes
through the same commands as over the socket, and what producers post to the same intake.
"""

from __future__ import annotations

from snexec.web.address import page_address as page_address
from snexec.web.key_file import key_path as key_path
from snexec.web.key_file import read_key as read_key
from snexec.web.serving import WebServer as WebServer
