"""Asking for pages as a scraper does, and reading what they hold."""

from __future__ import annotations

import trio
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def fetch(port: int, path: str, *, head: str = "") -> tuple[int, str, str]:
    """Ask for a page, and return its status, head and body."""
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n"
            await stream.send_all(request.encode())
            data = b"".join([chunk async for chunk in stream])
    said, _, body = data.decode().partition("\r\n\r\n")
    return int(said.split()[1]), said, body


async def free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port


async def scrape(port: int) -> Samples:
    """Fetch the page and read it."""
    status, head, body = await fetch(port, "/metrics")
    assert status == 200
    assert "content-type: text/plain; version=0.0.4" in head.lower()
    return samples_of(body)


def samples_of(body: str) -> Samples:
    """Read a page with the official parser."""
    samples: Samples = {}
    for family in text_string_to_metric_families(body):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, "told once"
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]
