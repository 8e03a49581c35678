"""`conversations find`: the conversations with a customer, in every workspace."""

import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from console.errors import NOTHING_MATCHED, counted, fail, show_error
from console.options import Json, Tables, item_argument, print_rows, with_tables
from console.scan import ReadUnits, scan
from console.terminal import show, tell
from domain.contact import comparable_email, comparable_phone, digits_of
from domain.errors import UnreadableConversationError
from storage.items import DOCUMENTS, Item

_IDS_A_LINE = 100


@with_tables
def find(
    customer: Annotated[
        str, typer.Option(metavar="EMAIL|PHONE", help="The email address or phone number.")
    ],
    ids: Annotated[
        bool, typer.Option("--ids", help="Print lines of arguments for `delete`.")
    ] = False,
    read_units: ReadUnits = 1000,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Find the conversations with a customer, in every workspace.

    Compares email addresses without regard to case, and phone numbers by their digits. To delete
    what is found: look at it, save the ids (stderr shows whose they are), delete them.

        conversations find --customer me@example.com
        conversations find --customer me@example.com --ids > found
        xargs -L 1 .venv/bin/conversations delete --purge --all-versions --yes < found

    A number such as `+49 30 123 (home)` cannot be compared. If it has the digits that you look for,
    stderr names it; `--ids` leaves it out.

    Exit codes: 0 found; 1 some conversations may be the customer's, since they are damaged or have
    a number that cannot be compared (stderr names them); 2 wrong use or no table; 3 nothing
    matched.
    """
    if ids and as_json:
        fail("Use either --ids or --json.")
    is_customer = _comparison(customer)
    found: list[_Found] = []
    doubtful: list[_Found] = []
    damaged = False
    for item in scan(tables, DOCUMENTS, read_units):
        try:
            contact = _read(item)
        except UnreadableConversationError as error:
            show_error(str(error))
            damaged = True
            continue
        if contact:
            verdict = is_customer(contact.email, contact.phone)
            (found if verdict else doubtful if verdict is None else []).append(contact)
    if doubtful:
        show_error("These have a number that cannot be compared, and may be the customer's:")
        print_rows([contact.row for contact in doubtful], err=True)
    print_rows([contact.row for contact in found], as_json=as_json, err=ids)
    if ids:
        _print_arguments([contact.item for contact in found])
    tell(f"Found {counted(len(found), 'conversation')}.", err=True)
    if damaged or doubtful or not found:
        raise typer.Exit(1 if damaged or doubtful else NOTHING_MATCHED)


def _comparison(customer: str) -> Callable[[str, str], bool | None]:
    """Tells whether a stored address or number is the customer's; `None`: it is unclear."""
    if "@" in customer:
        address = comparable_email(customer)
        return lambda *stored: address in map(comparable_email, stored)
    number = comparable_phone(customer) or fail(
        f"{customer} is neither an email address nor a phone number.",
        "a number has digits, blanks, dashes, dots, slashes, parentheses and a leading + only.",
    )

    def is_number(email: str, phone: str) -> bool | None:
        if number in map(comparable_phone, (email, phone)):
            return True
        unclear = [phone] if "@" in email else [email, phone]
        return (
            None
            if any(comparable_phone(text) is None and number in digits_of(text) for text in unclear)
            else False
        )

    return is_number


@dataclass(frozen=True)
class _Found:
    """A stored conversation, and who its customer is."""

    item: Item
    created_at: str
    name: str
    email: str
    phone: str

    @property
    def row(self) -> dict[str, str]:
        return {
            "workspaceId": self.item.workspace_id,
            "userId": self.item.user_id,
            "_id": self.item.id,
            "createdAt": self.created_at,
            "name": self.name,
            "email": self.email,
            "phone": self.phone,
        }


def _read(item: Item) -> _Found | None:
    """The conversation in an item; `None` for a tombstone.

    Raises:
        UnreadableConversationError: it is damaged.
    """
    from console.tables.reading import contents_of

    contents = contents_of(item)
    if not isinstance(contents, bytes):
        if contents:
            raise contents
        return None
    try:
        conversation: Any = json.loads(contents)
        customer = conversation["customer"]
        name, email, phone = (str(customer.get(name, "")) for name in ("name", "email", "phone"))
        return _Found(item, str(conversation["createdAt"]), name, email, phone)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise item.unreadable("its text is not a conversation") from None


def _print_arguments(items: Sequence[Item]) -> None:
    from console.tables.reading import has_ids

    ids = defaultdict[tuple[str, str], list[str]](list)
    for item in items:
        if has_ids(item):
            ids[item.workspace_id, item.user_id].append(item.id)
        else:
            show(item_argument(item))
    for (workspace, user), all_ids in ids.items():
        for start in range(0, len(all_ids), _IDS_A_LINE):  # xargs limits the length of a line
            words = ["--workspace", workspace, "--user", user]
            for id_ in all_ids[start : start + _IDS_A_LINE]:
                words += ["--id", id_]
            show(shlex.join(words))
