"""A socket to the broker, connected and encrypted."""

from __future__ import annotations

import socket
import ssl

import trio

# Within half a minute the kernel notices that an idle connection leads nowhere; and
# routers and firewalls on the way do not forget one that is alive.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


async def connect(host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
    """Connect, with TLS if there is a context; the socket never blocks.

    Raises:
        OSError: No connection, or the certificate is not trusted.
    """
    stream = await trio.open_tcp_stream(host, port)
    # Without Trio's wrappers, writing a request needs no task switch.
    sock = socket.socket(fileno=stream.socket.detach())
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if tls is not None:
            sock.getpeername()  # SSLSocket does not close one that is already reset
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
