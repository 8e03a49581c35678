"""Conversations to measure with: generated text, and real text in many languages."""

import random
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

USER = "674e29976b6acbac106d2651"
WORKSPACE = "demo"
_SENTENCES = Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines()

Conversation = dict[str, Any]
Text = Callable[[random.Random], str]


def words(source: random.Random) -> str:
    """A message of 3 to 25 words of a made-up language, rare and frequent as in a real one."""
    picked = source.choices(_WORDS, _FREQUENCIES, k=source.randint(3, 25))
    return " ".join(picked).capitalize() + source.choice(".?!")


def sentences(source: random.Random) -> str:
    """A message that somebody could have written, in one of 33 languages."""
    return source.choice(_SENTENCES)


def conversations(count: int, size: int, text: Text = words) -> list[Conversation]:
    """So many conversations of about `size` bytes of JSON each, newest first; always the same."""
    source = random.Random(count)
    newest = datetime(2025, 6, 30, tzinfo=UTC)
    return [
        _conversation(source, newest - number * timedelta(minutes=17), size, text)
        for number in range(count)
    ]


def _conversation(source: random.Random, created: datetime, size: int, text: Text) -> Conversation:
    moment = created + timedelta(milliseconds=source.randrange(1000))
    messages: list[Conversation] = []
    length = 330  # of the rest
    while length < size:
        sent = moment
        moment += timedelta(seconds=source.randint(5, 4000), milliseconds=source.randrange(1000))
        said = text(source)
        message = {
            "direction": source.choice(["inbound", "outbound"]),
            "sent": source.random() < 0.95,
            "message": said,
            "status": source.choice(["approved", "approved", "approved", "pending", "rejected"]),
            "_id": _object_id(source, sent),
            "createdAt": _spell(sent),
            "updatedAt": _spell(moment),
        }
        messages.append(message)
        length += 185 + len(said.encode())
    name = f"{source.choice(_WORDS).title()} {source.choice(_WORDS).title()}"
    return {
        "_id": _object_id(source, created),
        "userId": USER,
        "pathwayId": f"674e75bbe1456b11a194f{source.randrange(8):03x}",
        "agentId": f"674e7579e1456b11a194f{source.randrange(4):03x}",
        "customer": {
            "name": name,
            "email": f"{name.lower().replace(' ', '.')}@example.com",
            "phone": f"+{source.randrange(10**10, 10**11)}",
        },
        "messages": messages,
        "createdAt": _spell(created),
        "updatedAt": _spell(moment),
    }


def _object_id(source: random.Random, created: datetime) -> str:
    """An ObjectId, as in the documented example: seconds, one of four processes, its counter."""
    process = source.choice(["8824aa5f13", "91c07be2d4", "3be65a0c17", "c2f91d6e80"])
    return f"{int(created.timestamp()):08x}{process}{source.getrandbits(24):06x}"


def _spell(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _vocabulary(count: int) -> list[str]:
    source = random.Random(0)
    letters = string.ascii_lowercase
    return ["".join(source.choices(letters, k=source.randint(2, 9))) for _ in range(count)]


_WORDS = _vocabulary(3000)
_FREQUENCIES = [1 / rank for rank in range(1, len(_WORDS) + 1)]  # Zipf's law
