"""Listens on a port of this machine: the given one, or the next free one."""

import errno
import socket

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
