"""Three servers, three sentinels that watch them, and HAProxy, which follows the master.

The configuration of HAProxy and of the servers is that of the README ("Sentinel").
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.redis.server import PROGRAM, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HAPROXY = shutil.which("haproxy")
needs_haproxy = pytest.mark.skipif(
    PROGRAM is None or _HAPROXY is None,
    reason="there is no redis-server or no haproxy here (apt install redis-server haproxy)",
)
_NAME = "snexec"
_COUNT = 3
_PATIENCE_SECONDS = 60.0
# A master whom no replica hears, as one that was away for a while, refuses what it is told.
_WORDS = (
    *("--appendonly", "yes", "--appendfsync", "always"),
    *("--min-replicas-to-write", "1", "--min-replicas-max-lag", "3"),
    *("--repl-diskless-sync-delay", "0"),
)
_SENTINEL = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {name} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {name} 2000
sentinel failover-timeout {name} 4000
"""
HAPROXY = """\
defaults
    mode tcp
    timeout connect 2s
    timeout client 1m
    timeout server 1m
    timeout check 2s

listen redis
    bind 127.0.0.1:{port}
    option tcp-check
    tcp-check send info\\ replication\\r\\n
    tcp-check expect string role:master
    default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
"""


class Sentinels:
    """What runs.

    Attributes:
        servers: The three servers, one of which is the master.
        front: Where clients come in: HAProxy.
    """

    def __init__(self, servers: list[Server], front: Server, watcher: Server) -> None:
        self.servers = servers
        self.front = front
        self._watcher = watcher

    def master(self) -> Server:
        """Return who is the master, by a sentinel's word."""
        said = _ask(self._watcher, "get-master-addr-by-name")
        port = int(said.split(b"\r\n")[4])
        return next(each for each in self.servers if each.port == port)

    def replicas(self) -> int:
        """Return how many replicas hear the master."""
        return self.master().ask_whole("INFO", "replication").count(b"state=online")


@contextmanager
def running_sentinels() -> Iterator[Sentinels]:
    """Run all of it as long as the block lasts."""
    assert PROGRAM is not None
    assert _HAPROXY is not None
    with ExitStack() as stack:

        def folder() -> Path:
            name = tempfile.TemporaryDirectory(prefix="snsent", dir="/tmp")
            return Path(stack.enter_context(name))

        def run(*words: str) -> None:
            process = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        servers: list[Server] = []
        for _ in range(_COUNT):
            follows = f"127.0.0.1 {servers[0].port}" if servers else "no one"
            server = Server(folder(), *_WORDS, "--replicaof", *follows.split())
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        sentinels = []
        for _ in range(_COUNT):
            place = folder()
            sentinel = Server(place)
            config = place / "sentinel.conf"
            config.write_text(
                _SENTINEL.format(
                    port=sentinel.port,
                    folder=place,
                    name=_NAME,
                    master=servers[0].port,
                )
            )
            run(PROGRAM, str(config), "--sentinel")
            sentinels.append(sentinel)
        place = folder()
        front = Server(place)
        lines = [
            f"    server {name} 127.0.0.1:{server.port}\n"
            for name, server in zip("abc", servers, strict=True)
        ]
        config = place / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=front.port) + "".join(lines))
        run(_HAPROXY, "-db", "-f", str(config))
        it = Sentinels(servers, front, sentinels[0])
        _until(lambda: front.ask("PING") == b"+PONG", "HAProxy answers")
        _until(lambda: it.replicas() == _COUNT - 1, "both replicas hear the master")
        _until(lambda: _knows_all(sentinels), "the sentinels know each other")
        yield it


def _knows_all(sentinels: list[Server]) -> bool:
    return all(_ask(each, "ckquorum").startswith(b"+OK 3 usable") for each in sentinels)


def _ask(sentinel: Server, what: str) -> bytes:
    """Ask a sentinel, which does not know QUIT."""
    address = ("127.0.0.1", sentinel.port)
    with socket.create_connection(address, timeout=_PATIENCE_SECONDS) as sock:
        sock.sendall(f"SENTINEL {what} {_NAME}\r\n".encode())
        said = sock.recv(4096)
        while not said.endswith(b"\r\n") or (
            said[:1] == b"*" and said.count(b"\n") < 5
        ):
            said += sock.recv(4096)
        return said


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            if holds():
                return
        except (OSError, ValueError, IndexError, StopIteration):
            pass  # it does not answer yet
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
