"""Checks that a deployment works: `make smoke URL=… KEY=… WORKSPACE=…`. Reads only, in ten seconds.

Prints a table with a line for each check. Stops if a request gets no answer, is redirected or its
key is refused, since all others would fail for the same reason.
"""

import os
import re
import socket
import ssl
import sys
import time
import warnings
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from dev.smoke_client import TIMEOUT_SECONDS, Client, Stop, Unexpected, expect
from domain import api_key
from domain.caller import WORKSPACE_ID


def _pages(client: Client) -> None:
    first = client.get(limit="1")
    expect(len(first.list()) <= 1, "a page of more than one")
    if link := first.headers.get("link"):
        (cursor,) = parse_qs(urlsplit(link.partition("<")[2].partition(">")[0]).query)["cursor"]
        second = client.get(limit="1", cursor=cursor)
        expect(second.list() != first.list(), "the same page again")


def _not_modified(client: Client) -> None:
    etag = client.get(limit="1").headers["etag"]
    again = client.get({"if-none-match": etag}, limit="1")
    expect(again.status == 304, f"status {again.status}")
    expect(again.body == b"", "a body")


def _everything(client: Client) -> str | None:
    answer = client.get({"accept-encoding": "zstd, gzip"})
    if answer.status == 413:
        answer.refuses(413, "response_too_large")
        return "413"
    plain = client.get(limit="1000")
    length = len(answer.body)
    coding = answer.headers.get("content-encoding")
    expect(coding == ("zstd" if length > 1024 else None), f"{length} bytes, coding: {coding}")
    page = plain.list()
    expect(answer.list()[: len(page)] == page, "the list with zstd differs from the list without")
    return f"{length} bytes"


def _codings(client: Client) -> str:
    """API Gateway decides by the first type in Accept whether to decode the base64 of a body."""
    plain = client.get(limit="50").list()
    used = set()
    for accept in ("*/*", "application/json", "text/html;q=0.9, */*"):
        for coding in ("gzip", "zstd", "br"):
            answer = client.get({"accept": accept, "accept-encoding": coding}, limit="50")
            expect(answer.list() == plain, f"the list with {coding} and Accept: {accept} differs")
            used.add(answer.headers.get("content-encoding", "identity"))
    return ", ".join(sorted(used))


def _index(client: Client) -> None:
    """The index by `updatedAt`, filtered by `createdAt`, which is in the table's sort key."""
    since, until = "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    client.get(sort="updatedAt", limit="10", createdAtGe=since, updatedAtGe=since).list()
    client.get(sort="-updatedAt", limit="10", createdAtLt=until).list()


def _tls(client: Client) -> str:
    """TLS 1.3, or 1.2 with forward secrecy, and nothing older."""
    where = urlsplit(client.url)
    if where.scheme != "https":
        return "not tried: no https"
    taken = []
    for name, version, ciphers, expected in (
        ("1.3", ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
        ("1.2", ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        ("1.2 without forward secrecy", ssl.TLSVersion.TLSv1_2, "kRSA", False),
        ("1.1", ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = version
        address = (where.hostname or "", where.port or 443)
        with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as plain:
            try:
                context.set_ciphers(ciphers)
                context.wrap_socket(plain, server_hostname=where.hostname).close()
                takes = True
            except OSError as error:
                if "NO_" in str(error):  # this machine's OpenSSL does not offer it
                    continue
                takes = False
        expect(takes == expected, f"TLS {name}: {'accepted' if takes else 'refused'}")
        taken.append(f"{name} {'accepted' if takes else 'refused'}")
    return ", ".join(taken)


def _no_key(client: Client) -> None:
    for key in (None, "tk_nonsense", api_key.generate()):
        answer = client.get({"x-api-key": key})
        answer.refuses(401, "unauthorized")
        expect(answer.headers.get("www-authenticate") == "ApiKey", "no WWW-Authenticate")


def _elsewhere(client: Client) -> None:
    nobody = {"x-api-key": None}
    client.send("GET", client.url + "/elsewhere", nobody).refuses(404, "not_found")
    client.send("POST", client.url, nobody).refuses(404, "not_found")


def _signature(client: Client) -> str:
    """On an unknown path, API Gateway treats an Authorization header as an AWS signature."""
    headers = {"x-api-key": None, "authorization": "Bearer none"}
    answer = client.send("GET", client.url + "/elsewhere", headers)
    # AWS does not document which gateway response this is: INVALID_SIGNATURE or DEFAULT_4XX.
    expected = {404: "not_found", 400: "bad_request"}
    expect(answer.status in expected, f"status {answer.status}")
    answer.refuses(answer.status, expected[answer.status])
    return f"{answer.status}"


CHECKS: dict[str, Callable[[Client], str | None]] = {
    "the list comes in pages": _pages,
    "an unchanged page is a 304": _not_modified,
    "the whole list comes, with zstd, or is a 413": _everything,
    "a compressed list arrives as bytes, for any Accept": _codings,
    "the list by updatedAt takes filters by createdAt": _index,
    "a missing, malformed or unknown key is a 401": _no_key,
    "a workspace without a grant is a 404": lambda client: client.get(
        {"x-workspace-id": f"none-{uuid4()}"}
    ).refuses(404, "workspace_not_found"),
    "a missing workspace is a 400": lambda client: client.get({"x-workspace-id": None}).refuses(
        400, "missing_workspace"
    ),
    "a mistyped parameter is a 400": lambda client: client.get(agentID="1").refuses(
        400, "unknown_parameter"
    ),
    "an invalid cursor is a 400": lambda client: client.get(cursor="AAAA").refuses(
        400, "invalid_cursor"
    ),
    "another path or method is a 404": _elsewhere,
    "another path with Authorization is a 404 or a 400": _signature,
    "TLS 1.3, or 1.2 with forward secrecy": _tls,
}


def _wrong(client: Client) -> str | None:
    """What is wrong with a variable; `None` if each can be right."""
    try:
        where = urlsplit(client.url)
        usable = bool(where.hostname) and where.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"https?://[!-~]+", client.url) or {*client.url} & {*"?#@"}:
        return "URL must be the address of the endpoint: https://…/v1/api/conversations"
    if not api_key.is_well_formed(client.key):
        return "KEY must be an API key: tk_ and 32 letters or digits, without a typing error"
    if not re.fullmatch(WORKSPACE_ID, client.workspace):
        return f"WORKSPACE must be the id of a workspace: {WORKSPACE_ID}"
    return None


def main() -> int:
    """Run every check. Return 1 if a check fails, 2 if a variable is missing or wrong."""
    try:
        client = Client(*(os.environ[name] for name in ("URL", "KEY", "WORKSPACE")))
    except KeyError as missing:
        print(f"{missing} is not set: make smoke URL=… KEY=… WORKSPACE=…", file=sys.stderr)
        return 2
    if wrong := _wrong(client):
        print(wrong, file=sys.stderr)
        return 2

    failed = 0
    print("| check | result | ms | |\n| --- | --- | ---: | --- |")
    for name, check in CHECKS.items():
        start = time.perf_counter()
        try:
            result, note = "ok", check(client) or ""
        except Stop as stop:
            print(f"{client.shown(str(stop))} Stopped.", flush=True)
            return 1
        except (OSError, ValueError, KeyError, Unexpected) as error:
            failed += 1
            result, note = "FAILED", f"{type(error).__name__}: {error}"
        passed = 1000 * (time.perf_counter() - start)
        print(f"| {name:54} | {result:6} | {passed:6.0f} | {client.shown(note)} |", flush=True)
    print("StoreFallbacks on the dashboard counts reads that fell back to boto3, which is slower.")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
