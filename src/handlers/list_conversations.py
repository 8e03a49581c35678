"""`GET /v1/api/conversations`: the caller's conversations in a workspace."""

import json
import os
import re
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

from aws_lambda_powertools.metrics import MetricUnit

from domain.caller import Caller
from domain.query import ConversationQuery
from domain.timestamp import now
from handlers import parameters, response
from handlers.endpoint import Request, endpoint
from handlers.response import Response
from handlers.telemetry import fell_back, logger, metrics
from handlers.warm_up import load_ahead, read_once
from storage import items
from storage.conversations import ConversationTable, Page
from storage.paging import Listing, SyncRound
from storage.reader import reader

_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)


@cache
def table() -> ConversationTable:
    """The table of conversations; its client is kept for the life of the instance."""
    return ConversationTable(reader(fell_back), os.environ["CONVERSATIONS_TABLE"])


@endpoint
def handler(request: Request) -> Response:
    """Fetch all conversations associated with the authenticated user."""
    workspace_id = parameters.workspace_of(request.headers)
    query = parameters.query_of(request.query)
    partition = items.partition_of(request.caller, workspace_id)
    logger.append_keys(workspace_id=workspace_id)  # only once granted: a client may send a key here

    listing: Listing | SyncRound = (
        SyncRound(partition, query, place=_place(), now=now())
        if query.sync
        else Listing(partition, query)
    )

    coding = response.coding_of(request.header("accept-encoding"))
    if_none_match = request.header("if-none-match")
    # A 304 has no body, so even a list too large for the client's coding can be compared.
    compare_whole = query.limit is None and if_none_match != ""
    page = table().query(
        partition,
        listing.query,
        after=listing.after,
        max_bytes=response.MAX_PAGE_BYTES["zstd" if compare_whole else coding],
        seconds_left=request.seconds_left,
    )
    page, answer, size = response.encode(
        page,
        request_id=request.id,
        coding=coding,
        if_none_match=if_none_match,
        link=lambda page: _link(request, listing.following(page)),
        whole=query.limit is None,
    )
    _record(page, answer.status, size, whole=query.limit is None)
    return answer


def _place() -> str:
    """Stands for the table and its content: clients' copies are no longer good once it changes."""
    names = ("AWS_DEFAULT_REGION", "CONVERSATIONS_TABLE", "SYNC_GENERATION")
    text = json.dumps([os.environ.get(name) for name in names])
    return sha256(text.encode()).hexdigest()[:8]


def _link(request: Request, following: tuple[str, str] | None) -> str:
    """A `Link` to this list with another cursor; "" if nothing follows."""
    if following is None:
        return ""
    relation, to = following
    query = {**{name: values[0] for name, values in request.query.items()}, "cursor": to}
    return f'<{_address(request)}?{urlencode(query, quote_via=quote)}>; rel="{relation}"'


def _address(request: Request) -> str:
    """The list's address without its query: under `PublicUrl`, or as the client used it.

    `X-Forwarded-Host` is not trusted: any client can send it.
    """
    if request.public_url:
        return f"{request.public_url}{request.context['resourcePath']}"
    scheme = "http" if request.header("x-forwarded-proto") == "http" else "https"
    # The pattern has no comma, so two Host headers do not match.
    hosts = (request.header("host"), request.context.get("domainName") or "")
    host = next(filter(_HOST.fullmatch, hosts), None)
    origin = f"{scheme}://{host}" if host else ""  # a Link may be relative, RFC 8288
    return f"{origin}{request.context['path']}"


def _record(page: Page, status: int, size: int, *, whole: bool) -> None:
    metrics.add_metric("ConversationsReturned", MetricUnit.Count, len(page.documents))
    metrics.add_metric("StoreReads", MetricUnit.Count, page.reads)
    if whole:  # a page is shortened to fit, so its size says nothing
        metrics.add_metric("WholeListBytes", MetricUnit.Bytes, size)
    logger.info(
        "listed", status=status, conversations=len(page.documents), bytes=size, reads=page.reads
    )


def _empty_query() -> dict[str, Any]:
    """The arguments of a Query that finds nothing."""
    nobody = Caller("nobody", frozenset({"none"}), "none")
    name, partition = os.environ["CONVERSATIONS_TABLE"], items.partition_of(nobody, "none")
    return dict(items.request(name, partition, ConversationQuery(limit=1)))


read_once("Query", _empty_query)
load_ahead("domain.conversation")  # with pydantic, which only plain JSON documents need
