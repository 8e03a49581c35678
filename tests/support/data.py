# ruff: noqa: RUF001 - many scripts
"""Writes varied conversations as mongoexport does.

    python -m tests.support.data 100000 > file.json

They are the same ones every time. 100,000 take 200 MB.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

_SAID = (
    "Thank you for your feedback!",
    "Ich möchte meinen Termin verschieben, größe M, bitte.",
    "Où en est ma commande ? Je n’ai rien reçu depuis trois semaines.",
    "¿Tienen mesa mañana por la noche para dos personas?",
    "Chciałbym złożyć reklamację.",
    "Коли приїде кур’єр?",
    "Θέλω να αλλάξω το ραντεβού μου.",
    "متى يصل طلبي؟",
    "אפשר לשנות את הכתובת?",
    "मेरा ऑर्डर कहाँ है?",
    "予約を変更したいのですが。",
    "您的包裹已经发出,预计周四送达。",
    "배송은 언제 되나요?",
    'Great, thanks 👍🏽 \\o/ "quoted" \u0000 and\nnew lines',
)
_START = datetime(2024, 1, 1, tzinfo=UTC)


def conversations(count: int, users: int = 500, seed: int = 4) -> Iterator[dict[str, Any]]:
    """Conversations in Extended JSON, canonical."""
    random = Random(seed)
    for number in range(count):
        created = _START + timedelta(milliseconds=random.randrange(365 * 86_400_000))
        messages = []
        moment = created
        for _ in range(random.choice((0, 1, 2, 3, 4, 5, 6, 8, 12, 22))):
            messages.append(_message(random, moment))
            moment += timedelta(milliseconds=random.randrange(40_000_000))
        yield {
            "_id": {"$oid": f"{int(created.timestamp()):08x}{number:016x}"},
            "userId": {"$oid": f"674e29976b6acbac{random.randrange(users):08x}"},
            "pathwayId": {"$oid": f"674e75bbe1456b11a194f09{random.randrange(4)}"},
            "agentId": {"$oid": f"674e7579e1456b11a194f08{random.randrange(8)}"},
            "customer": {
                "name": f"Customer {random.randrange(10_000)}",
                "email": f"customer{random.randrange(10_000):04}@example.com",
                "phone": f"+1555010{random.randrange(10_000):04}",
            },
            "messages": messages,
            "createdAt": _date(created),
            "updatedAt": _date(moment),
            "__v": {"$numberInt": str(len(messages))},
        }


def _message(random: Random, moment: datetime) -> dict[str, Any]:
    words = random.sample(_SAID, k=random.randrange(1, 4))
    return {
        "direction": random.choice(("inbound", "outbound")),
        "sent": random.random() < 0.9,
        "message": " ".join(words),
        "status": random.choice(("approved", "delivered", "failed", "read", "sent")),
        "_id": {"$oid": f"{int(moment.timestamp()):08x}{random.getrandbits(64):016x}"},
        "createdAt": _date(moment),
        "updatedAt": _date(moment),
    }


def _date(moment: datetime) -> dict[str, Any]:
    return {"$date": {"$numberLong": str(int(moment.timestamp() * 1000))}}


if __name__ == "__main__":
    for conversation in conversations(int(sys.argv[1])):
        sys.stdout.write(json.dumps(conversation, ensure_ascii=False, separators=(",", ":")) + "\n")
