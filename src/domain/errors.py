"""The errors that the other modules raise, and their codes."""

import re
from typing import Literal, overload

PlainCode = Literal[
    "missing_workspace",
    "invalid_workspace",
    "invalid_cursor",
    "workspace_not_found",
    "sync_expired",
    "response_too_large",
    "internal_error",
    "store_unavailable",
]
DetailedCode = Literal["invalid_parameter", "unknown_parameter"]
"""Codes whose error must say what is wrong with which parameter."""
Code = PlainCode | DetailedCode
"""What the functions raise. API Gateway's own codes are in `handlers/problems.py`."""


class ConversationsError(Exception):
    """An error with a code of the contract; `handlers/problems.py` has the table of codes.

    Attributes:
        detail: tells the client what to change, if the table's text is not precise enough. Never
            contains a key, a cursor or content.
    """

    code: Code = "internal_error"
    detail: str = ""


class RequestError(ConversationsError):
    """The client must change the request. The code has a 4xx status."""

    @overload
    def __init__(self, code: PlainCode, detail: str = "") -> None: ...
    @overload
    def __init__(self, code: DetailedCode, detail: str) -> None: ...
    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class StoreError(ConversationsError):
    """A request to DynamoDB failed.

    Attributes:
        reason: AWS's error code, the name of an exception, or one of ours such as
            `IncompleteAnswer`; for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreUnavailableError(StoreError):
    """DynamoDB throttles, refuses access, times out or returns garbage."""

    code = "store_unavailable"


class MalformedApiKeyError(StoreUnavailableError):
    """The item of an API key is malformed, so the key is useless.

    Attributes:
        hash_start: the first 8 hexadecimal digits of the key's hash, which find the item.
    """

    def __init__(self, key_hash: str) -> None:
        super().__init__("MalformedApiKey")
        # Anything but a hash could be a key, stored by mistake.
        is_hash = re.fullmatch("[0-9a-f]{64}", key_hash)
        self.hash_start = key_hash[:8] if is_hash else "(no hash)"


class StoreRequestError(StoreError):
    """DynamoDB rejected our request as invalid: a defect."""


class InvalidCallerError(ConversationsError):
    """The authorizer's context is absent or malformed: a defect of the deployment."""


class MalformedEventError(ConversationsError):
    """The event is not that of a REST API's Lambda proxy: a defect of the deployment."""


class UnreadableConversationError(ConversationsError):
    """A stored conversation is damaged.

    Attributes:
        key: the partition and sort key of its item.
        reason: what is wrong with it. Never contains content.
    """

    def __init__(self, key: tuple[str, str], reason: str) -> None:
        super().__init__(f"The conversation at {key} cannot be read: {reason}.")
        self.key = key
        self.reason = reason


class ConversationTooLargeError(ConversationsError):
    """A conversation does not fit a response or a DynamoDB item (400 KB)."""
