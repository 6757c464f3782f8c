"""Serves ASGI applications on real sockets, from threads."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

#: Below the ports that Linux assigns by itself (32768 to 60999), and above those of common services.
OWN_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return an unused port that Linux does not assign to others before it is used."""
    while True:
        port = secrets.choice(OWN_PORTS)  # independent of a test's random seed
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Server:
    """A running server: `url` is its base URL without a trailing slash, `address` its host and port."""

    def __init__(self, app: ASGIApp, host: str, port: int, certificate: Path | None) -> None:
        # Bind before uvicorn starts: the port is known and accepts connections when the constructor returns.
        self._socket = socket.create_server((host, port), backlog=128)
        # asyncio sets this only on sockets whose protocol it knows; without it every answer waits 40 ms for an ACK.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self.url = f"{'https' if certificate else 'http'}://{self.address}"
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            # As Harbor's nginx. Python's clients keep a connection for five seconds, and so does uvicorn by default: a
            # request that comes just then is lost.
            timeout_keep_alive=65,
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=f"serve-{self.port}", daemon=True
        )
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._server.server_state.connections)

    def close(self) -> None:
        """Stop serving; open requests get one second."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0, *, certificate: Path | None = None) -> Server:
    """Serve `app` on `host`:`port` (0: a free port); over TLS with a `certificate`, a file that also has the key.

    Raise OSError if the port is taken.
    """
    return Server(app, host, port, certificate)
