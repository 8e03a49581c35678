"""The errors that the rest raises. Each knows its code; `handlers/problems.py` knows the status."""

import re
from typing import ClassVar


class ConversationsError(Exception):
    """An error with a code of the contract. Its text names no key, no cursor and no content."""

    code: ClassVar[str] = "internal_error"


class MissingWorkspaceError(ConversationsError):
    """The request names no workspace."""

    code = "missing_workspace"


class InvalidWorkspaceError(ConversationsError):
    """The workspace identifier is malformed."""

    code = "invalid_workspace"


class InvalidParameterError(ConversationsError):
    """A header or query parameter is malformed, repeated, empty or out of range."""

    code = "invalid_parameter"


class UnknownParameterError(ConversationsError):
    """The request carries a query parameter that does not exist."""

    code = "unknown_parameter"


class InvalidCursorError(ConversationsError):
    """The cursor is damaged, or belongs to another caller, workspace, sort or filter."""

    code = "invalid_cursor"


class WorkspaceNotFoundError(ConversationsError):
    """The caller has no grant for the workspace, or there is no such workspace."""

    code = "workspace_not_found"


class ResponseTooLargeError(ConversationsError):
    """The list cannot be delivered whole in one response."""

    code = "response_too_large"


class StoreError(ConversationsError):
    """DynamoDB did not do what was asked of it.

    Attributes:
        reason: the AWS error code or the client's error class, for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The conversations cannot be read at the moment. "
            "Try again after the seconds that Retry-After names."
        )
        self.reason = reason


class StoreUnavailableError(StoreError):
    """DynamoDB throttles, refuses access, times out or answers garbage."""

    code = "store_unavailable"


class MalformedApiKeyError(StoreUnavailableError):
    """The item of an API key is malformed, and so the key lets nobody in.

    Attributes:
        hash_start: the first 8 hexadecimal digits of the key's hash, which find the item.
    """

    def __init__(self, key_hash: str) -> None:
        super().__init__("MalformedApiKey")
        # What is no hash could be a key, stored by mistake.
        is_hash = re.fullmatch("[0-9a-f]{64}", key_hash)
        self.hash_start = key_hash[:8] if is_hash else "(no hash)"


class StoreRequestError(StoreError):
    """DynamoDB calls a request of ours invalid: a defect."""


class InvalidCallerError(ConversationsError):
    """The authorizer's context is absent or malformed: a defect of the deployment."""


class UnreadableConversationError(ConversationsError):
    """A stored conversation is damaged.

    Attributes:
        key: the partition and sort key of its item.
        reason: what is wrong, without any of its content.
    """

    def __init__(self, key: tuple[str, str], reason: str) -> None:
        super().__init__(f"The conversation at {key} cannot be read: {reason}.")
        self.key = key
        self.reason = reason


class ConversationTooLargeError(ConversationsError):
    """A conversation exceeds what a response or a DynamoDB item (400 KB) holds."""
