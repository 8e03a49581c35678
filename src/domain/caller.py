"""Callers and identifiers. Does not import pydantic, so the authorizer need not load it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from domain.errors import InvalidCallerError, RequestError

WORKSPACE_ID = r"^[A-Za-z0-9_-]{1,64}$"
# Of users and conversations: printable ASCII without `#`, the separator in stored keys.
ID = r'^[ -"$-~]{1,128}$'


def require_id(value: str, pattern: str = ID) -> str:
    """Return the identifier if it matches the pattern.

    Raises:
        ValueError: it does not match the pattern, and could forge a stored key.
    """
    if not re.fullmatch(pattern, value):
        raise ValueError(f"an identifier must match {pattern}")
    return value


@dataclass(frozen=True, slots=True)
class Caller:
    """The user whom an API key identifies, and the workspaces that the key grants.

    Raises:
        ValueError: an identifier is malformed.
    """

    user_id: str
    workspace_ids: frozenset[str]
    key_id: str

    def __post_init__(self) -> None:
        require_id(self.user_id)
        for workspace_id in self.workspace_ids:
            require_id(workspace_id, WORKSPACE_ID)

    def require_grant(self, workspace_id: str) -> None:
        """Check that the caller has a grant for the workspace.

        Raises:
            RequestError: `workspace_not_found`: no grant, or no such workspace; one code for both.
        """
        if workspace_id not in self.workspace_ids:
            raise RequestError("workspace_not_found")

    def to_context(self) -> dict[str, str]:
        """The caller as an authorizer's context, which API Gateway limits to flat values."""
        return {
            "userId": self.user_id,
            "workspaceIds": " ".join(sorted(self.workspace_ids)),
            "keyId": self.key_id,
        }

    @classmethod
    def from_context(cls, context: object) -> Self:
        """The caller whom `to_context` describes.

        Raises:
            InvalidCallerError: the context is absent, incomplete or malformed.
        """
        try:
            user_id, workspace_ids, key_id = (
                _text(context, name) for name in ("userId", "workspaceIds", "keyId")
            )
            return cls(user_id, frozenset(workspace_ids.split()), key_id)
        except (KeyError, TypeError, ValueError):
            raise InvalidCallerError("The authorizer's context is absent or malformed.") from None


def _text(context: object, name: str) -> str:
    if isinstance(context, Mapping) and isinstance(value := context[name], str):
        return value
    raise TypeError
