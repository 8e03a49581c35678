"""Ports of this machine: the one that is asked for, or the next free one."""

import errno
import socket

HOST = "127.0.0.1"
_CANDIDATES = 20


class UnusablePortError(Exception):
    """Neither the port nor one of those after it can be listened on."""


def listen(port: int) -> socket.socket:
    """A socket that listens on the port, or on the next free one; 0 takes any.

    Raises:
        UnusablePortError: listening there takes more rights, or all candidates are taken.
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
