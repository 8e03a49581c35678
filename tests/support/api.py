"""One request in a test is one line: `api.get(workspace="demo", limit="2")`."""

import copy
import gzip
import json
import sys
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from dev.local.demo import DOCUMENTED, USER

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EVENTS = Path(__file__).parents[2] / "events"


def conversation(**fields: Any) -> dict[str, Any]:
    """The documented conversation with other fields; `id` stands for `_id`."""
    if "id" in fields:
        fields["_id"] = fields.pop("id")
    return copy.deepcopy(DOCUMENTED) | fields


@dataclass
class Answer:
    """A response as a client sees it, content decoded; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        assert self.status == 200, self.body
        return [conversation["_id"] for conversation in self.json]

    @property
    def cursor(self) -> str | None:
        if "link" not in self.headers:
            return None
        return self.headers["link"].partition("cursor=")[2].partition(">")[0]


def assert_problem(answer: Answer, status: int, code: str) -> str:
    """The one shape of every error; returns its detail."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json
    request_id = str(UUID(answer.headers["x-request-id"]))
    assert list(problem) == ["type", "title", "status", "detail", "instance", "error"]
    assert problem["type"] == f"urn:problem:conversations:{code}"
    assert problem["title"] == _TITLES[status]
    assert problem["status"] == status
    assert problem["instance"] == f"urn:uuid:{request_id}"
    assert problem["error"] == {"code": code, "message": problem["detail"]}
    assert ("retry-after" in answer.headers) == (status in {429, 503})
    assert (answer.headers.get("www-authenticate") == "ApiKey") == (status == 401)
    assert "tk_" not in problem["detail"]
    return cast("str", problem["detail"])


_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    410: "Gone",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Context:
    """What Lambda gives a handler besides the event."""

    function_name = "conversations"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:conversations"
    aws_request_id = "2ac5ff1a-5d9c-4e3b-9b8e-0d0c8d2f6b11"

    def __init__(self, *seconds_left: float) -> None:
        self._seconds_left = list(seconds_left)

    def get_remaining_time_in_millis(self) -> int:
        """What is left at each call in turn; the last goes on."""
        if len(self._seconds_left) > 1:
            return int(self._seconds_left.pop(0) * 1000)
        return int((self._seconds_left or [28.0])[0] * 1000)


class Api:
    """The endpoint's handler, called as API Gateway calls it after its authorizer."""

    def __init__(self, user: str = USER, workspaces: str = "demo demo-busy") -> None:
        self.authorizer: object = {
            "principalId": user,
            "userId": user,
            "workspaceIds": workspaces,
            "keyId": "key_demo",
        }

    def get(
        self,
        workspace: str | None = "demo",
        *,
        headers: Mapping[str, str | list[str]] | None = None,
        context: Context | None = None,
        **parameters: Any,
    ) -> Answer:
        """One request. Headers and parameters with a list of values are sent as often."""
        event = json.loads((EVENTS / "list.json").read_text())
        for name in ("x-workspace-id", "x-api-key"):
            del event["headers"][name], event["multiValueHeaders"][name]
        sent = dict(headers or {})
        if workspace is not None:
            sent["x-workspace-id"] = workspace
        for name, value in sent.items():
            values = [value] if isinstance(value, str) else value
            event["multiValueHeaders"][name] = values
            event["headers"][name] = values[-1]
        if parameters:
            multi = {name: _list(value) for name, value in parameters.items()}
            event["multiValueQueryStringParameters"] = multi
            event["queryStringParameters"] = {name: multi[name][-1] for name in multi}
        event["requestContext"]["authorizer"] = self.authorizer
        return play(event, context)

    def pages(self, workspace: str = "demo", **parameters: Any) -> list[Answer]:
        """All pages, each asked for with the cursor of the one before."""
        answers = [self.get(workspace, **parameters)]
        while cursor := answers[-1].cursor:
            answers.append(self.get(workspace, **parameters | {"cursor": cursor}))
            assert len(answers) < 1000, "the pages have no end"
        return answers


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def play(event: dict[str, Any], context: Context | None = None) -> Answer:
    """What the endpoint answers to an event, decoded as API Gateway and a client would."""
    from handlers.list_conversations import handler

    sent = handler(event, cast("Any", context or Context()))
    headers = {
        name.lower(): ", ".join(values) for name, values in sent["multiValueHeaders"].items()
    }
    body = b64decode(sent["body"]) if sent["isBase64Encoded"] else sent["body"].encode()
    body = DECODE[headers.get("content-encoding", "identity")](body)
    return Answer(sent["statusCode"], headers, body, sent)


DECODE: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    # As a client that keeps to RFC 9659: a window of 8 MB at most.
    "zstd": partial(zstd.decompress, options={zstd.DecompressionParameter.window_log_max: 23}),
}
