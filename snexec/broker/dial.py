"""A socket to the broker, connected and encrypted."""

from __future__ import annotations

import socket
import ssl

import trio

# The kernel finds out within half a minute that an idle connection leads nowhere, and
# keeps its place in the tables of what lies between.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


async def connect(host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
    """Connect, with TLS if a context is given; the socket never blocks.

    Raises:
        OSError: It could not be done, or the certificate is not trusted.
    """
    stream = await trio.open_tcp_stream(host, port)
    # Without Trio's wrappers a request needs no task switch to be written.
    sock = socket.socket(fileno=stream.socket.detach())
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if tls is not None:
            sock.getpeername()  # one that is reset already is not closed by SSLSocket
            sock = tls.wrap_socket(
                sock, server_hostname=host, do_handshake_on_connect=False
            )
            await _shake_hands(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return
