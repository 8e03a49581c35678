"""`GET /v1/api/conversations`: the caller's conversations in a workspace."""

import os
import re
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit

from domain.caller import Caller
from domain.query import ConversationQuery, Position
from handlers import parameters, response, warm_up
from handlers.app import app, handler, prepare_routes
from handlers.telemetry import fell_back, logger, metrics
from storage import cursor, layout
from storage.conversations import ConversationTable, Page
from storage.layout import partition_of
from storage.reader import reader

__all__ = ["handler"]  # what Lambda calls

_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)


@cache
def table() -> ConversationTable:
    """The table of conversations; its client is kept for the life of the instance."""
    return ConversationTable(reader(fell_back), os.environ["CONVERSATIONS_TABLE"])


@app.get(
    "/v1/api/conversations",
    summary="Get All Conversations",
    operation_id="getAllConversations",
    tags=["Conversations"],
)
def list_conversations(workspace_id: parameters.WorkspaceId) -> Response[str]:
    """Fetch all conversations associated with the authenticated user."""
    event = app.current_event.raw_event
    query = parameters.query_of(event)
    parameters.require_one_api_key(event)
    caller = Caller.from_context(event["requestContext"].get("authorizer"))
    logger.append_keys(key_id=caller.key_id)
    partition = partition_of(caller, workspace_id)
    logger.append_keys(workspace_id=workspace_id)  # only once granted: a client may send a key here

    coding = response.coding_of(_header(event, "accept-encoding"))
    if_none_match = _header(event, "if-none-match")
    # A 304 has no body, so even a list too large for the client's coding can be compared.
    compare_whole = query.limit is None and if_none_match != ""
    page = table().query(
        partition,
        query,
        after=cursor.position_of(partition, query),
        max_bytes=response.MAX_JSON_BYTES["zstd" if compare_whole else coding],
        seconds_left=lambda: app.lambda_context.get_remaining_time_in_millis() / 1000,
    )

    def link(position: Position) -> str:
        return _address(event, cursor.encode(position, partition, query))

    page, answer, size = response.encode(
        page,
        request_id=event["requestContext"]["requestId"],
        coding=coding,
        if_none_match=if_none_match,
        link=link if query.limit else None,
    )
    _record(page, answer.status_code, size, whole=query.limit is None)
    return answer


def _header(event: dict[str, Any], name: str) -> str:
    return ",".join(event["multiValueHeaders"].get(name, ()))


def _address(event: dict[str, Any], next_cursor: str) -> str:
    """The address of the next page: the client's own address with another cursor."""
    context = event["requestContext"]
    scheme = "http" if _header(event, "x-forwarded-proto") == "http" else "https"
    # The pattern has no comma, so two Host headers do not match.
    hosts = (_header(event, "host"), context.get("domainName") or "")
    host = next(filter(_HOST.fullmatch, hosts), None)
    origin = f"{scheme}://{host}" if host else ""  # a Link may be relative, RFC 8288
    given = event["multiValueQueryStringParameters"]
    query = {**{name: values[0] for name, values in given.items()}, "cursor": next_cursor}
    return f"{origin}{context['path']}?{urlencode(query, quote_via=quote)}"


def _record(page: Page, status: int, size: int, *, whole: bool) -> None:
    metrics.add_metric("ConversationsReturned", MetricUnit.Count, len(page.documents))
    metrics.add_metric("StoreReads", MetricUnit.Count, page.reads)
    if whole:  # a page is shortened to fit, so its size says nothing
        metrics.add_metric("WholeListBytes", MetricUnit.Bytes, size)
    logger.info(
        "listed", status=status, conversations=len(page.documents), bytes=size, reads=page.reads
    )


def _prepare() -> None:
    """Prepare the routes and do one read during init, so the first request need not wait."""
    prepare_routes()
    warm_up.warm_up("Query", _empty_query)


def _empty_query() -> dict[str, Any]:
    """The arguments of a Query that finds nothing."""
    nobody = Caller("nobody", frozenset({"none"}), "none")
    name, partition = os.environ["CONVERSATIONS_TABLE"], partition_of(nobody, "none")
    return dict(layout.request(name, partition, ConversationQuery(limit=1)))


_prepare()
