"""API keys: `tk_`, 26 random base62 characters, and a checksum of 6 more. Only a hash is stored."""

import re
import secrets
import string
from dataclasses import dataclass
from hashlib import sha256
from zlib import crc32

from domain.caller import Caller

PREFIX = "tk_"
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECKSUM = 26, 6
_PATTERN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")


def generate() -> str:
    """A new key of 154 random bits."""
    body = PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM))
    return body + checksum(body)


def checksum(body: str) -> str:
    """The CRC-32 of a key's first 29 characters, as 6 base62 digits."""
    number, digits = crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def is_well_formed(key: str) -> bool:
    """Whether format and checksum are right. Needs no read."""
    return bool(_PATTERN.fullmatch(key)) and checksum(key[:-_CHECKSUM]) == key[-_CHECKSUM:]


def hash_of(key: str) -> str:
    """The SHA-256 of the key, in hexadecimal. Only this is stored."""
    return sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An issued key. Timestamps are instants (`domain.timestamp.to_instant`)."""

    key_hash: str
    key_id: str
    user_id: str
    workspace_ids: frozenset[str]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def is_active(self, now: str) -> bool:
        """Whether the key identifies its user at the instant `now`."""
        ends = (self.expires_at, self.revoked_at)
        return all(end is None or now < end for end in ends)

    def caller(self) -> Caller:
        """The caller whom the key identifies."""
        return Caller(self.user_id, self.workspace_ids, self.key_id)
