"""Tells requests for this machine from those of a web page that is not ours.

A page can have its own host name resolve to 127.0.0.1 (DNS rebinding). The browser then lets it
read the answers, and only the host name in its requests gives it away.
"""

import re
from email.message import Message
from typing import NamedTuple

_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost|\[::1])(:[0-9]*)?", re.IGNORECASE)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://([^/?]*)(.*)", re.IGNORECASE)


class Address(NamedTuple):
    """What a request is for.

    Attributes:
        host: this machine as the client names it, with its port if given; empty if unnamed.
        path: with the query. Starts with a slash, unless the target is malformed.
    """

    host: str
    path: str


def address_of(target: str, headers: Message) -> Address | None:
    """What a request is for; `None` if it names another machine, or more than one.

    Args:
        target: as the request line has it: a path, or in absolute form, whose host counts in place
            of the header's (RFC 9112, section 3.2.2).
        headers: `Host` may be missing.
    """
    hosts = [host.strip() for host in headers.get_all("Host", [])]
    if len(hosts) > 1:
        return None
    if absolute := _ABSOLUTE.fullmatch(target):
        authority, path = absolute.groups()
        hosts.append(authority)
        target = path if path.startswith("/") else f"/{path}"
    if not all(map(_THIS_MACHINE.fullmatch, hosts)):
        return None
    return Address(hosts[-1] if hosts else "", target)
