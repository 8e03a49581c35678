"""The client of `make smoke`, which trusts no server: neither with its key nor to answer well."""

import gzip
import json
import sys
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TIMEOUT_SECONDS = 30  # API Gateway's limit, and one second more
WRONG_PROCESSOR = (
    " (If this persists, the package may have been built for another processor. "
    "Give `sam build` and `sam deploy` the same ArchitectureAsBuilt.)"
)


@dataclass(frozen=True)
class Answer:
    """A response; header names in lower case, the body decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def list(self) -> list[Any]:
        """The conversations. Checks that the response is a 200 as in the contract."""
        self._has(200)
        expect(self.headers["content-type"] == "application/json", "the Content-Type")
        for name in ("etag", "cache-control", "vary", "x-request-id"):
            expect(name in self.headers, f"no {name} header")
        found = self._json()
        expect(isinstance(found, list), "no array")
        return list(found)

    def refuses(self, status: int, code: str) -> None:
        """Check that the response is the contract's problem with this code."""
        self._has(status)
        expect(self.headers["content-type"] == "application/problem+json", "the Content-Type")
        match self._json():
            case {"error": {"code": given}, "status": in_body, "instance": instance}:
                expect(given == code, f"code {given}")
                expect(in_body == status, "the status in the body")
                request_id = self.headers.get("x-request-id")
                expect(instance == f"urn:uuid:{request_id}", "another request id in the body")
            case _:
                raise Unexpected("no problem as in the contract")

    def _has(self, status: int) -> None:
        hint = WRONG_PROCESSOR if self.status == 503 else ""
        body = f": {self.body!r}" if self.status >= 400 else ""  # no conversations
        expect(self.status == status, f"status {self.status}{hint}{body}")

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unexpected("the body is not JSON") from None


@dataclass(frozen=True)
class Client:
    """Sends requests to the endpoint, with one key and one workspace."""

    url: str
    key: str
    workspace: str

    def get(self, headers: Mapping[str, str | None] | None = None, **query: str) -> Answer:
        """Send a request. A header whose value is `None` is left out."""
        return self.send("GET", self.url + ("?" + urlencode(query) if query else ""), headers)

    def send(self, method: str, url: str, headers: Mapping[str, str | None] | None) -> Answer:
        """Send a request with another method or address."""
        known = {
            "x-api-key": self.key,
            "x-workspace-id": self.workspace,
            "accept": "*/*",
            **(headers or {}),
        }
        sent = {name: value for name, value in known.items() if value is not None}
        request = urllib.request.Request(url, headers=sent, method=method)  # noqa: S310 - http or https
        try:
            response = _OPENER.open(request, timeout=TIMEOUT_SECONDS)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Stop(f"No answer from {urlsplit(url).netloc}: {reason}") from None
        with response:
            received = {name.lower(): value for name, value in response.headers.items()}
            if sent.get("x-api-key") == self.key:
                _stop_at(response.status, received)
            coding = received.get("content-encoding", "identity")
            expect(coding in _CODINGS, f"Content-Encoding: {coding}")
            try:
                body = _CODINGS[coding](response.read())
            except (OSError, EOFError, HTTPException, zlib.error, zstd.ZstdError) as error:
                raise Unexpected(f"the body is cut off or damaged: {error!r}") from None
        return Answer(response.status, received, body)

    def shown(self, text: str) -> str:
        """The text without the key, which a server may echo, and without control characters."""
        kept = text.replace(self.key, "KEY")[:400]  # in this order: no part of the key stays
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in kept)


def _stop_at(status: int, headers: Mapping[str, str]) -> None:
    if status == 401:
        raise Stop("401: KEY is not valid for this deployment, or it is expired or revoked.")
    if status in (301, 302, 303, 307, 308):
        raise Stop(
            f"{status}: URL redirects to {headers.get('location')!r}, and the key was not sent "
            "there. URL must be the address that answers."
        )


# Returns the answer whatever its status is, and follows no redirect: the key would go along.
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
):
    _OPENER.add_handler(_handler())

_CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
}


class Stop(Exception):
    """No further check can succeed."""


class Unexpected(Exception):
    """A response does not match the contract."""


def expect(holds: bool, otherwise: str) -> None:
    """Raise `Unexpected` with the text unless the condition holds."""
    if not holds:
        raise Unexpected(otherwise)
