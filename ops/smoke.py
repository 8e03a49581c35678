"""Whether a deployment works: `make smoke URL=… KEY=… WORKSPACE=…`. Reads only, in ten seconds."""

import gzip
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

from domain import api_key

TIMEOUT_SECONDS = 30  # what API Gateway may take, and a second


@dataclass(frozen=True)
class Answer:
    """A response; header names in lower case, the body decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def list(self) -> list[Any]:
        """The conversations, of a 200 as the contract has it."""
        _expect(self.status == 200, f"status {self.status}: {self.body[:200]!r}")  # noqa: PLR2004
        _expect(self.headers["content-type"] == "application/json", "the Content-Type")
        for name in ("etag", "cache-control", "vary", "x-request-id"):
            _expect(name in self.headers, f"no {name} header")
        found = json.loads(self.body)
        _expect(isinstance(found, list), "no array")
        return list(found)

    def refuses(self, status: int, code: str) -> None:
        """Passes if it is the contract's problem with this code."""
        _expect(self.status == status, f"status {self.status}: {self.body[:200]!r}")
        _expect(self.headers["content-type"] == "application/problem+json", "the Content-Type")
        problem = json.loads(self.body)
        _expect(problem["error"]["code"] == code, f"code {problem['error']['code']}")
        _expect(problem["status"] == status, "the status in the body")
        _expect("x-request-id" in self.headers, "no x-request-id header")


@dataclass(frozen=True)
class Client:
    """Asks the endpoint at an address, as one key in one workspace."""

    url: str
    key: str
    workspace: str

    def get(self, headers: Mapping[str, str | None] | None = None, **query: str) -> Answer:
        """One request; a header whose value is `None` is not sent."""
        return self.send("GET", self.url + ("?" + urlencode(query) if query else ""), headers)

    def send(self, method: str, url: str, headers: Mapping[str, str | None] | None) -> Answer:
        """One request with another method or address."""
        known = {
            "x-api-key": self.key,
            "x-workspace-id": self.workspace,
            "accept": "*/*",
            **(headers or {}),
        }
        sent = {name: value for name, value in known.items() if value is not None}
        request = urllib.request.Request(url, headers=sent, method=method)  # noqa: S310 - http or https
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = response.read()
        received = {name.lower(): value for name, value in response.headers.items()}
        if received.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return Answer(response.status or 0, received, body)


class _Unexpected(Exception):  # noqa: N818 - not an error of ours
    """The deployment answers otherwise than the contract says."""


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise _Unexpected(otherwise)


def _pages(client: Client) -> None:
    first = client.get(limit="1")
    _expect(len(first.list()) <= 1, "a page of more than one")
    if link := first.headers.get("link"):
        (cursor,) = parse_qs(urlsplit(link.partition("<")[2].partition(">")[0]).query)["cursor"]
        second = client.get(limit="1", cursor=cursor)
        _expect(second.list() != first.list(), "the same page again")


def _not_modified(client: Client) -> None:
    etag = client.get(limit="1").headers["etag"]
    again = client.get({"if-none-match": etag}, limit="1")
    _expect(again.status == 304, f"status {again.status}")  # noqa: PLR2004
    _expect(again.body == b"", "a body")


def _everything(client: Client) -> None:
    answer = client.get({"accept-encoding": "gzip"})
    if answer.status == 413:  # noqa: PLR2004 - the contract's answer where it is too much
        return answer.refuses(413, "response_too_large")
    plain = client.get(limit="1000")
    length = len(answer.body)
    gzipped = answer.headers.get("content-encoding") == "gzip"
    _expect(gzipped == (length > 1024), f"{length} bytes, gzip: {gzipped}")  # noqa: PLR2004
    page = plain.list()
    _expect(answer.list()[: len(page)] == page, "another list with gzip than without")
    return None


def _no_key(client: Client) -> None:
    for key in (None, "tk_nonsense", api_key.generate()):
        answer = client.get({"x-api-key": key})
        answer.refuses(401, "unauthorized")
        _expect(answer.headers.get("www-authenticate") == "ApiKey", "no WWW-Authenticate")


def _elsewhere(client: Client) -> None:
    client.send("GET", client.url + "/elsewhere", None).refuses(404, "not_found")
    client.send("POST", client.url, None).refuses(404, "not_found")


CHECKS: dict[str, Callable[[Client], None]] = {
    "the list comes in pages": _pages,
    "what a client has already is a 304": _not_modified,
    "the whole list comes, with gzip, or is a 413": _everything,
    "no key, a malformed and an unknown one are a 401": _no_key,
    "a workspace without a grant is a 404": lambda client: client.get(
        {"x-workspace-id": f"none-{uuid4()}"}
    ).refuses(404, "workspace_not_found"),
    "a missing workspace is a 400": lambda client: client.get({"x-workspace-id": None}).refuses(
        400, "missing_workspace"
    ),
    "a mistyped parameter is a 400": lambda client: client.get(agentID="1").refuses(
        400, "unknown_parameter"
    ),
    "a false cursor is a 400": lambda client: client.get(cursor="AAAA").refuses(
        400, "invalid_cursor"
    ),
    "another path or method is a 404": _elsewhere,
}


def main() -> int:
    """Runs every check; 1 if one fails, 2 if it was not said where."""
    try:
        client = Client(*(os.environ[name] for name in ("URL", "KEY", "WORKSPACE")))
    except KeyError as missing:
        print(f"{missing} is not set: make smoke URL=… KEY=… WORKSPACE=…", file=sys.stderr)
        return 2
    if urlsplit(client.url).scheme not in ("http", "https"):
        print("URL must be the address of the endpoint.", file=sys.stderr)
        return 2
    failed = 0
    for name, check in CHECKS.items():
        start = time.perf_counter()
        try:
            check(client)
            result = "ok"
        except (OSError, ValueError, KeyError, _Unexpected) as error:
            failed += 1
            result = f"FAILED: {type(error).__name__.lstrip('_')}: {error}"
        print(f"{1000 * (time.perf_counter() - start):6.0f} ms  {name}: {result}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
