"""Listens on a port of this machine, the given one or the next free one, and serves HTTP there."""

import errno
import socket
import sys
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

HOST = "127.0.0.1"
_CANDIDATES = 20


class UnusablePortError(Exception):
    """Neither the port nor any tried after it can be used."""


def listen(port: int) -> socket.socket:
    """A socket that listens on the port, or on the next free one; 0 means any free port.

    Raises:
        UnusablePortError: listening there needs more privileges, or all candidates are taken.
    """
    reason = "Address already in use"
    for candidate in range(port, min(port + _CANDIDATES, 2**16)):
        try:
            return socket.create_server((HOST, candidate), backlog=128)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = str(error.strerror)
                break
    raise UnusablePortError(f"Port {port} cannot be used ({reason}). Choose another.")


class HttpServer(ThreadingTCPServer):
    """An HTTP server in threads of this process, from its creation to the end of its `with` block.

    `http.server.ThreadingHTTPServer` would look up the host name of 127.0.0.1, and print a
    traceback for each client that hangs up.

    Args:
        handler: answers a connection.
        listening: a socket that listens; without it, the server listens on any free port.
    """

    daemon_threads = True

    def __init__(
        self, handler: type[BaseRequestHandler], listening: socket.socket | None = None
    ) -> None:
        listening = listening or listen(0)
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.port: int = listening.getsockname()[1]
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def server_close(self) -> None:
        """Stop, and close the socket."""
        self.shutdown()
        super().server_close()

    def shutdown_request(self, request: Any) -> None:
        """Before closing, read what the client still sends; otherwise it could lose the answer."""
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(1)
            for _ in range(1000):
                if not request.recv(65_536):
                    break
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that hung up
            super().handle_error(request, client_address)
