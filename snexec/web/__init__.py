"""WEB: the operator's page, metrics and the health check, for browsers and scrapers.

It is imported only where ``[page]`` or ``[metrics]`` is on. It owns its listeners, its
connections, the key of the page, and what it notes of the day for charts. It reads what
each wing says of itself in a ``status()``, and rows over a read-only connection in a thread
of its own; whatever a browser does is bounded, and nothing here is waited for by an order.
What the operator does there goes through the same commands as over the socket.
"""

from __future__ import annotations

from snexec.web.address import page_address as page_address
from snexec.web.key_file import key_path as key_path
from snexec.web.key_file import read_key as read_key
from snexec.web.serving import WebServer as WebServer
