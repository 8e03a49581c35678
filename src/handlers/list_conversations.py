"""`GET /v1/api/conversations`: the caller's conversations in a workspace."""

import os
import re
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from aws_lambda_powertools.metrics import MetricUnit

from domain.caller import Caller
from domain.query import ConversationQuery, Position
from handlers import parameters, response
from handlers.endpoint import Request, endpoint
from handlers.response import Response
from handlers.telemetry import fell_back, logger, metrics
from handlers.warm_up import load_ahead, read_once
from storage import cursor, items
from storage.conversations import ConversationTable, Page
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

    coding = response.coding_of(request.header("accept-encoding"))
    if_none_match = request.header("if-none-match")
    # A 304 has no body, so even a list too large for the client's coding can be compared.
    compare_whole = query.limit is None and if_none_match != ""
    page = table().query(
        partition,
        query,
        after=cursor.position_of(partition, query),
        max_bytes=response.MAX_PAGE_BYTES["zstd" if compare_whole else coding],
        seconds_left=request.seconds_left,
    )

    def link(position: Position) -> str:
        return _address(request, cursor.encode(position, partition, query))

    page, answer, size = response.encode(
        page,
        request_id=request.id,
        coding=coding,
        if_none_match=if_none_match,
        link=link if query.limit else None,
    )
    _record(page, answer.status, size, whole=query.limit is None)
    return answer


def _address(request: Request, next_cursor: str) -> str:
    """The address of the next page: the client's own address with another cursor."""
    scheme = "http" if request.header("x-forwarded-proto") == "http" else "https"
    # The pattern has no comma, so two Host headers do not match.
    hosts = (request.header("host"), request.context.get("domainName") or "")
    host = next(filter(_HOST.fullmatch, hosts), None)
    origin = f"{scheme}://{host}" if host else ""  # a Link may be relative, RFC 8288
    query = {**{name: values[0] for name, values in request.query.items()}, "cursor": next_cursor}
    return f"{origin}{request.context['path']}?{urlencode(query, quote_via=quote)}"


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
