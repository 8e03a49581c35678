"""`GET /v1/api/conversations`: all conversations of the caller in a workspace."""

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.metrics import MetricUnit

from domain.caller import Caller
from handlers import parameters, warm_up
from handlers import response as encoding
from handlers.openapi import RESPONSES
from handlers.problems import handle_errors
from handlers.telemetry import fell_back, logger, metrics
from storage import cursor as cursors
from storage.conversations import ConversationTable, Page
from storage.query import ConversationQuery, Position, partition_of
from storage.reader import reader

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
    from aws_lambda_powertools.utilities.typing import LambdaContext

_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)

app = APIGatewayRestResolver(enable_validation=True)
handle_errors(app)


@cache
def table() -> ConversationTable:
    """The table of conversations, its client kept for the life of the function."""
    return ConversationTable(reader(fell_back), os.environ["CONVERSATIONS_TABLE"])


def refuse_unknown(app: APIGatewayRestResolver, next_middleware: "NextMiddleware") -> Response[str]:
    """Middleware: a mistyped filter must never return everything."""
    parameters.refuse_unknown(app.current_event.raw_event)
    return next_middleware(app)


@app.get("/v1/api/conversations", middlewares=[refuse_unknown], responses=RESPONSES)
def list_conversations(
    workspace_id: parameters.WorkspaceId,
    limit: parameters.Limit = None,
    cursor: parameters.Cursor = None,
    agent_id: parameters.AgentId = None,
    pathway_id: parameters.PathwayId = None,
    created_at_ge: parameters.CreatedAtGe = None,
    created_at_lt: parameters.CreatedAtLt = None,
    updated_at_ge: parameters.UpdatedAtGe = None,
    updated_at_lt: parameters.UpdatedAtLt = None,
    sort: parameters.Sort = "-createdAt",
    messages: parameters.Messages = "all",
) -> Response[str]:
    """Fetch all conversations associated with the authenticated user."""
    event = app.current_event.raw_event
    caller = Caller.from_context(event["requestContext"].get("authorizer"))
    logger.append_keys(key_id=caller.key_id, workspace_id=workspace_id)
    partition = partition_of(caller, workspace_id)
    query = ConversationQuery(
        sort=sort,
        limit=limit,
        agent_id=agent_id,
        pathway_id=pathway_id,
        created_at=parameters.between("createdAt", created_at_ge, created_at_lt),
        updated_at=parameters.between("updatedAt", updated_at_ge, updated_at_lt),
        messages=messages,
    )
    if cursor is not None:
        query = cursors.resume(cursor, partition, query)

    gzip = encoding.accepts_gzip(_header(event, "accept-encoding"))
    if_none_match = _header(event, "if-none-match")
    # A 304 has no size: a whole list that fits only compressed is read for its ETag, too.
    compare_whole = limit is None and if_none_match != ""
    page = table().query(
        partition,
        query,
        max_bytes=encoding.max_json_bytes(gzip=gzip or compare_whole),
        seconds_left=lambda: app.lambda_context.get_remaining_time_in_millis() / 1000,
    )

    def link(position: Position) -> str:
        return _address(event, cursors.encode(position, partition, query))

    page, response, size = encoding.encode(
        page,
        request_id=event["requestContext"]["requestId"],
        gzip=gzip,
        if_none_match=if_none_match,
        link=link if limit else None,
    )
    _record(page, response.status_code, size, whole=limit is None)
    return response


def _header(event: dict[str, Any], name: str) -> str:
    return ",".join(event["multiValueHeaders"].get(name, ()))


def _address(event: dict[str, Any], cursor: str) -> str:
    """The address of the next page, as the client spelled this one's."""
    context = event["requestContext"]
    scheme = "http" if _header(event, "x-forwarded-proto") == "http" else "https"
    hosts = (_header(event, "host"), context["domainName"] or "")  # two Hosts have a comma
    host = next(filter(_HOST.fullmatch, hosts), None)
    origin = f"{scheme}://{host}" if host else ""  # a Link may be relative, RFC 8288
    query = {**event["queryStringParameters"], "cursor": cursor}
    return f"{origin}{context['path']}?{urlencode(query, quote_via=quote)}"


def _record(page: Page, status: int, size: int, *, whole: bool) -> None:
    metrics.add_metric("ConversationsReturned", MetricUnit.Count, len(page.documents))
    metrics.add_metric("StoreReads", MetricUnit.Count, page.reads)
    if whole:  # a page is cut to fit
        metrics.add_metric("WholeListBytes", MetricUnit.Bytes, size)
    logger.info(
        "listed", status=status, conversations=len(page.documents), bytes=size, reads=page.reads
    )


@logger.inject_lambda_context(
    correlation_id_path="requestContext.requestId", clear_state=True, log_event=False
)
@metrics.log_metrics
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answers API Gateway's proxy event. Raises nothing: every error is a problem response."""
    return app.resolve(parameters.merge_headers(event), context)


def _nothing() -> dict[str, Any]:
    nobody = Caller("nobody", frozenset({"none"}), "none")
    name, partition = os.environ["CONVERSATIONS_TABLE"], partition_of(nobody, "none")
    return dict(ConversationQuery(limit=1).request(name, partition))


for _route in app._static_routes:  # noqa: SLF001 - nothing else makes Powertools prepare a route
    _ = _route.dependant
warm_up.warm_up("Query", _nothing)
