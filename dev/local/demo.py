# ruff: noqa: RUF001 - dialogues in many scripts
"""The demo data of the local API: two users, their keys, and conversations in two workspaces."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from domain.api_key import ApiKey, hash_of
from domain.conversation import Conversation

USER = "674e29976b6acbac106d2651"
SECOND_USER = "674e29976b6acbac106d2652"
BUSY_COUNT = 500


@dataclass(frozen=True)
class DemoKey:
    """An API key that is not secret."""

    key: str
    key_id: str
    user_id: str
    workspaces: tuple[str, ...]


KEYS = (
    DemoKey(
        "tk_DemoKeyOfTheDocumentedUser4IfRzy", "key_demo", USER, ("demo", "demo-busy", "demo-mine")
    ),
    DemoKey("tk_DemoKeyOfTheSecondDemoUser1UUBFz", "key_demo_second", SECOND_USER, ("demo",)),
)

DOCUMENTED: dict[str, Any] = {
    "_id": "675c8e368824aa5f130b94d6",
    "userId": USER,
    "pathwayId": "674e75bbe1456b11a194f091",
    "agentId": "674e7579e1456b11a194f08b",
    "customer": {
        "name": "Test Customer Name",
        "email": "customer@example.com",
        "phone": "+123456789",
    },
    "messages": [
        {
            "direction": "outbound",
            "sent": True,
            "message": "Thank you for your feedback!",
            "status": "approved",
            "_id": "675c8e368824aa5f130b94d3",
            "createdAt": "2024-12-01T08:45:00Z",
            "updatedAt": "2024-12-01T09:00:00Z",
        }
    ],
    "createdAt": "2024-12-01T08:45:00Z",
    "updatedAt": "2024-12-01T09:00:00Z",
}
_OF_SECOND_USER: dict[str, Any] = DOCUMENTED | {
    "_id": "675c8e368824aa5f130b94e1",
    "userId": SECOND_USER,
    "customer": {"name": "Another User's Customer"},
    "messages": [],
}

_AGENTS = ("674e7579e1456b11a194f08b", "674e7579e1456b11a194f08c", "674e7579e1456b11a194f08d")
_PATHWAYS = (
    *("674e75bbe1456b11a194f091", "674e75bbe1456b11a194f092"),
    *("674e75bbe1456b11a194f093", "674e75bbe1456b11a194f094"),
)
# By language: a customer, what the agent writes, what the customer writes.
_DIALOGUES = """\
Olivia Bennett
Hi! How can I help you today? \
| Your order left our warehouse this morning and arrives on Thursday. | Thank you for your feedback!
Where is my parcel? | Can I still change the address? | Great, thanks 👍

Jürgen Müßig
Guten Tag! Wie kann ich Ihnen helfen? | Ihr Termin ist am Dienstag um 10:30 Uhr. \
| Die Rechnung über 49,90 € ist unterwegs.
Ich möchte meinen Termin verschieben. | Passt, vielen Dank! | Größe M, bitte.

Chloé Lefèvre
Bonjour, que puis-je faire pour vous ? | Votre colis est arrivé à l’agence.
Où en est ma commande ? | Parfait, merci à vous !

Íñigo Peña
¡Hola! ¿En qué puedo ayudarle? | Su reserva está confirmada para dos personas.
¿Tienen mesa mañana por la noche? | ¡Muchísimas gracias!

João Gonçalves
Olá! Em que posso ajudar? | O pagamento foi confirmado.
Não recebi a fatura. | Obrigado, até amanhã.

Łukasz Wiśniewski
Dzień dobry! W czym mogę pomóc? | Paczka została już wysłana.
Chciałbym złożyć reklamację. | Dziękuję bardzo.

Олена Шевченко
Добрий день! Чим можу допомогти? | Ваше замовлення вже в дорозі.
Коли приїде кур’єр? | Дякую!

Ελένη Παπαδοπούλου
Καλημέρα! Πώς μπορώ να βοηθήσω; | Το ραντεβού σας επιβεβαιώθηκε.
Θέλω να αλλάξω το ραντεβού μου. | Ευχαριστώ πολύ.

نور الحسن
مرحبًا! كيف يمكنني مساعدتك؟ | تم تأكيد طلبك وسيصل يوم الأحد.
متى يصل طلبي؟ | شكرًا جزيلًا.

דנה לוי
שלום! איך אפשר לעזור? | ההזמנה שלך אושרה.
אפשר לשנות את הכתובת? | תודה רבה!

प्रिया शर्मा
नमस्ते! मैं आपकी क्या मदद कर सकता हूँ? | आपका भुगतान मिल गया है।
मेरा ऑर्डर कहाँ है? | धन्यवाद!

佐藤 陽子
こんにちは。ご用件をお聞かせください。 | ご予約を承りました。
予約を変更したいのですが。 | ありがとうございます。

王小明
您好,请问有什么可以帮您? | 您的包裹已经发出,预计周四送达。
我的快递到哪里了? | 好的,谢谢!😊

김민준
안녕하세요! 무엇을 도와드릴까요? | 예약이 확정되었습니다.
배송은 언제 되나요? | 감사합니다."""
_YEAR_SECONDS = 365 * 86_400
_UNSENT_SHARE, _INCOMPLETE_SHARE = 0.1, 0.2
_SENT_STATUSES = ("approved", "delivered", "read", "sent")
_UNSENT_STATUSES = ("failed", "pending", "rejected", "scheduled")


def api_keys() -> Iterator[ApiKey]:
    """The demo keys, as they are stored."""
    for key in KEYS:
        workspaces = frozenset(key.workspaces)
        created = "2024-12-01T08:45:00.000Z"
        yield ApiKey(hash_of(key.key), key.key_id, key.user_id, workspaces, created)


def conversations() -> Iterator[tuple[str, Conversation]]:
    """Each conversation with its workspace, oldest first; the same ones every time."""
    yield "demo", Conversation.model_validate(DOCUMENTED)
    yield "demo", Conversation.model_validate(_OF_SECOND_USER)
    random = Random(674)
    # In the order of the sort key: moto sorts at every read, which is fast if nothing moves.
    for seconds in sorted(random.sample(range(_YEAR_SECONDS), BUSY_COUNT)):
        created = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        yield "demo-busy", Conversation.model_validate(_conversation(random, created))


def _conversation(random: Random, created: datetime) -> dict[str, Any]:
    name, *lines = random.choice(_DIALOGUES.split("\n\n")).splitlines()
    texts = [line.split(" | ") for line in lines]
    messages = []
    moment = created
    for number in range(random.choice((0, 1, 2, 3, 4, 5, 6, 8, 12, 24))):
        messages.append(_message(random, moment, texts, number))
        moment += timedelta(seconds=random.randrange(300, 40_000))
    number = random.randrange(10**4)
    customer = {
        "name": name,
        "email": f"customer{number:04}@example.com",
        "phone": f"+1555010{number:04}",
    }
    if random.random() < _INCOMPLETE_SHARE:
        del customer[random.choice(("name", "email", "phone"))]
    return {
        "_id": _id(random, created),
        "userId": USER,
        "pathwayId": random.choice(_PATHWAYS),
        "agentId": random.choice(_AGENTS),
        "customer": customer,
        "messages": messages,
        "createdAt": _spell(created),
        "updatedAt": messages[-1]["updatedAt"] if messages else _spell(created),
    }


def _message(
    random: Random, created: datetime, texts: list[list[str]], number: int
) -> dict[str, Any]:
    inbound = number % 2
    sent = bool(inbound) or random.random() >= _UNSENT_SHARE
    return {
        "direction": "inbound" if inbound else "outbound",
        "sent": sent,
        "message": random.choice(texts[inbound]),
        "status": random.choice(_SENT_STATUSES if sent else _UNSENT_STATUSES),
        "_id": _id(random, created),
        "createdAt": _spell(created),
        "updatedAt": _spell(created + timedelta(seconds=random.randrange(300))),
    }


def _id(random: Random, created: datetime) -> str:
    """An id like a MongoDB ObjectId, which begins with the seconds of its creation."""
    return f"{int(created.timestamp()):08x}{random.getrandbits(64):016x}"


def _spell(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
