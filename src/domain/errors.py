"""The errors that the rest raises."""

import re


class ConversationsError(Exception):
    """An error with a code of the contract; `handlers/problems.py` has the table of codes.

    Attributes:
        detail: what to change, for the client, where the table's text does not say it all. It
            names no key, no cursor and no content.
    """

    code: str = "internal_error"
    detail: str = ""


class RequestError(ConversationsError):
    """The request cannot be answered as it is: a code whose status is 4xx."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class StoreError(ConversationsError):
    """DynamoDB did not do what was asked of it.

    Attributes:
        reason: the AWS error code or the client's error class, for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
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
