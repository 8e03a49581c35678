"""Both tables in memory, as a DynamoDB client shows them, on a clock that only calls move on.

The index shows each write later than the table, by another time for each. What is planned happens
at a later call: a fault, or something that another process does meanwhile. Only what `storage` and
`console.tables` ask for is there; `tests/integration/test_strict_dynamodb.py` says what is allowed.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from random import Random
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ConnectionClosedError

Item = dict[str, Any]
Key = tuple[str, ...]

START = datetime(2026, 1, 1, tzinfo=UTC)
MAX_LAG = 39_000  # milliseconds; what the sync overlap leaves after the 20 s of an attempt to write
SLOW = 13_000  # milliseconds of a read whose first attempts hang
FAULTS = ("throttled", "reset", "lost", "truncated", "partial", "foreign", "slow", "hung")


class Version(NamedTuple):
    """What lies at a key from the millisecond `written` on; in the index from `shown` on."""

    written: int
    shown: int
    item: Item | None


class KilledError(BaseException):
    """The process that calls is killed."""


def instant(millisecond: int) -> str:
    """A time of the virtual clock, as `domain.timestamp.to_instant` spells it."""
    moment = START + timedelta(milliseconds=millisecond)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millisecond_of(text: str) -> int:
    """The time of the virtual clock that `instant` spells so."""
    return (datetime.fromisoformat(text) - START) // timedelta(milliseconds=1)


def _operation(answer: Callable[..., Any]) -> Callable[..., Any]:
    """A call of the client: before it and in its way comes what is planned."""

    @wraps(answer)
    def call(self: "VirtualDynamoDB", **request: Any) -> Any:
        fault = self._begin(answer.__name__)
        if fault in ("throttled", "reset", "hung"):
            raise _error(fault)
        try:
            answered = answer(self, fault, **request)
        except ClientError as error:
            if fault in ("lost", "truncated"):
                raise _error("lost") from error
            raise
        if fault == "lost":
            raise _error(fault)
        whole = {"ResponseMetadata": {"HTTPStatusCode": 200}}
        return whole if fault == "truncated" else whole | answered

    return call


def _error(name: str, **more: Any) -> Exception:
    if name in ("reset", "lost", "hung"):
        return ConnectionClosedError(endpoint_url="https://dynamodb.example")
    code = {
        "throttled": "ThrottlingException",
        "refused": "ConditionalCheckFailedException",
    }[name]
    response: Any = {"Error": {"Code": code, "Message": name}, **more}
    return ClientError(response | {"ResponseMetadata": {"HTTPStatusCode": 400}}, "Operation")


class VirtualDynamoDB:
    """A DynamoDB client.

    Attributes:
        clock: milliseconds since `START`.
        history: what has been at each key of the conversations table, oldest first.
        wrote: is told of each change of that table: its key, what was there, what is there.
        faulted: how many faults have happened, those that only take time aside.
        trace: every call, with its time and its fault.
    """

    def __init__(self, random: Random, page_items: int) -> None:
        self.random, self.page_items = random, page_items
        self.clock = 0
        self.history: dict[Key, list[Version]] = {}
        self.keys: dict[str, Item] = {}
        self.wrote: Callable[[Key, Item | None, Item | None], None] = lambda *_: None
        self.faulted = 0
        self.frozen = self.killed = False
        self.plan: list[tuple[int, str | Callable[[], None]]] = []
        self.trace: list[str] = []

    # for the simulation

    def now(self) -> datetime:
        return START + timedelta(milliseconds=self.clock)

    def later(self, calls: int, what: str | Callable[[], None]) -> None:
        """Plan a fault, a kill ("killed") or an action before so many more calls."""
        self.plan.append((calls, what))

    def calm(self) -> None:
        """Forget what is planned."""
        self.plan, self.killed = [], False

    def at(self, key: Key) -> Item | None:
        return self.history[key][-1].item if key in self.history else None

    def set(self, key: Key, item: Item | None) -> None:
        """Change what lies at a key, as of now."""
        versions = self.history.setdefault(key, [])
        before = versions[-1].item if versions else None
        shown = self.clock + self.random.randrange(MAX_LAG)
        if versions:  # the index takes the changes of an item in their order
            shown = max(shown, versions[-1].shown)
        versions.append(Version(self.clock, shown, item))
        self.wrote(key, before, item)

    def expire(self) -> None:
        """Remove what has outlived its time to live."""
        for key in self.history:
            item = self.at(key)
            if (
                item
                and "expiresAt" in item
                and int(item["expiresAt"]["N"]) < self.now().timestamp()
            ):
                self.set(key, None)

    def _begin(self, operation: str) -> str:
        """Move the clock on, have happen what is due, and return the fault of this call."""
        if self.killed:
            raise KilledError
        if self.frozen:
            return ""
        self.clock += 1
        due = [what for calls, what in self.plan if calls <= 0]
        self.plan = [(calls - 1, what) for calls, what in self.plan if calls > 0]
        fault, slow = "", False
        for what in due:
            if callable(what):
                kept = self.plan, self.faulted  # of those whom it interrupts
                self.plan = []
                what()
                self.plan, self.faulted = kept
            elif what == "killed":
                self.killed = True
                raise KilledError
            elif what == "slow":
                slow = True
            elif not fault:
                fault = what
                self.faulted += fault in ("throttled", "reset", "lost", "truncated", "hung")
        if slow or fault == "hung":
            self.clock += SLOW
        self.trace.append(f"{self.clock} {operation} {fault}")
        return fault

    # for the handlers and the console

    @_operation
    def query(self, fault: str, **request: Any) -> Item:
        values = request["ExpressionAttributeValues"]
        in_index, partition = "IndexName" in request, values[":pk"]["S"]
        names = ("pk", "updatedKey", "sk") if in_index else ("pk", "sk")
        others = [key for key in self.history if key[0] != partition and self.at(key)]
        if fault == "foreign" and others:  # the answer to somebody else's request
            self.faulted += 1
            return {"Items": [self.at(key) for key in others], "Count": len(others)}
        found = self._stored(partition, in_index=in_index)
        found.sort(
            key=lambda item: _key(item, names), reverse=not request.get("ScanIndexForward", True)
        )
        return self._page(found, names, request)

    @_operation
    def scan(self, _fault: str, **request: Any) -> Item:
        found = [item for key in sorted(self.history) if (item := self.at(key))]
        return self._page(found, ("pk", "sk"), request)

    def _stored(self, partition: str, *, in_index: bool) -> list[Item]:
        found = []
        for key, versions in self.history.items():
            if key[0] == partition:
                for version in reversed(versions):
                    if not in_index or version.shown <= self.clock:
                        if version.item and (not in_index or "updatedKey" in version.item):
                            found.append(version.item)
                        break
        return found

    def _page(self, found: list[Item], names: tuple[str, ...], request: Item) -> Item:
        values = request.get("ExpressionAttributeValues", {})
        if "KeyConditionExpression" in request:
            holds = _condition(request["KeyConditionExpression"])
            found = [item for item in found if holds(item, values)]
        if start := request.get("ExclusiveStartKey"):
            if request.get("ScanIndexForward", True):
                found = [item for item in found if _key(item, names) > _key(start, names)]
            else:
                found = [item for item in found if _key(item, names) < _key(start, names)]
        count = min(request.get("Limit", self.page_items), self.page_items)
        read = found[:count]
        answer: Item = {"ScannedCount": len(read)}
        if len(read) == count:  # even where nothing follows
            answer["LastEvaluatedKey"] = {name: read[-1][name] for name in names}
        if "FilterExpression" in request:
            holds = _condition(request["FilterExpression"])
            read = [item for item in read if holds(item, values)]
        shown = [_projected(item, request) for item in read]
        return answer | {"Items": shown, "Count": len(shown)}

    @_operation
    def get_item(self, fault: str, **request: Any) -> Item:
        if "keyHash" in request["Key"]:
            wanted = request["Key"]["keyHash"]["S"]
            others = [key for hash_, key in self.keys.items() if hash_ != wanted]
            item = self.keys.get(wanted)
            if fault == "foreign" and others:
                self.faulted += 1
                item = others[0]
        else:
            item = self.at(_key(request["Key"]))
        found = {"Item": _projected(item, request)} if item else {}
        return found | {"ConsumedCapacity": {"CapacityUnits": 1.0}}

    @_operation
    def put_item(self, _fault: str, **request: Any) -> Item:
        item = request["Item"]
        if "keyHash" in item:
            self.keys[item["keyHash"]["S"]] = dict(item)
        else:
            self._require(request, self.at(_key(item)))
            self.set(_key(item), dict(item))
        return {}

    @_operation
    def delete_item(self, _fault: str, **request: Any) -> Item:
        key = _key(request["Key"])
        self._require(request, self.at(key))
        if self.at(key):
            self.set(key, None)
        return {}

    @_operation
    def update_item(self, _fault: str, **request: Any) -> Item:
        """Of an API key: one attribute is set, set if absent, or added to."""
        item = self.keys[request["Key"]["keyHash"]["S"]]
        action, name, *absent = re.findall(r"\w+", request["UpdateExpression"])
        value = request["ExpressionAttributeValues"][":value"]
        if action == "ADD":
            item[name] = {"SS": sorted({*item[name]["SS"], *value["SS"]})}
        elif not ("if_not_exists" in absent and name in item):
            item[name] = value
        return {}

    @_operation
    def batch_get_item(self, _fault: str, **request: Any) -> Item:
        ((table, asked),) = request["RequestItems"].items()
        found = [item for key in asked["Keys"] if (item := self.at(_key(key)))]
        return {"Responses": {table: [_projected(item, asked) for item in found]}}

    @_operation
    def batch_write_item(self, fault: str, **request: Any) -> Item:
        ((table, requests),) = request["RequestItems"].items()
        count = len(requests) // 2 if fault == "partial" else len(requests)
        for entry in requests[:count]:
            if "PutRequest" in entry:
                item = entry["PutRequest"]["Item"]
                self.set(_key(item), dict(item))
            elif self.at(key := _key(entry["DeleteRequest"]["Key"])):
                self.set(key, None)
        return {"UnprocessedItems": {table: requests[count:]} if requests[count:] else {}}

    @_operation
    def batch_execute_statement(self, fault: str, **request: Any) -> Item:
        responses: list[Item] = []
        for number, statement in enumerate(request["Statements"]):
            names = re.findall(r"'(\w+)'", statement["Statement"])
            item = dict(zip(names, statement["Parameters"], strict=True))
            if fault == "partial" and number % 2:
                responses.append({"Error": {"Code": "ThrottlingError"}})
            elif self.at(_key(item)):
                responses.append({"Error": {"Code": "DuplicateItem"}})
            else:
                self.set(_key(item), item)
                responses.append({})
        return {"Responses": responses}

    def _require(self, request: Item, item: Item | None) -> None:
        holds = _condition(request.get("ConditionExpression", ""))
        if not holds(item or {}, request.get("ExpressionAttributeValues", {})):
            raise _error("refused", **({"Item": item} if item else {}))


def _key(item: Mapping[str, Any], names: tuple[str, ...] = ("pk", "sk")) -> Key:
    return tuple(item[name]["S"] for name in names)


def _projected(item: Item, request: Item) -> Item:
    if "ProjectionExpression" not in request:
        return dict(item)
    names = request["ProjectionExpression"].split(", ")
    return {name: item[name] for name in names if name in item}


_TERM = re.compile(
    r"(?P<test>attribute_exists|attribute_not_exists|begins_with)"
    r"\((?P<tested>\w+)(, (?P<start>:\w+))?\)"
    r"|(?P<between>\w+) BETWEEN (?P<low>:\w+) AND (?P<high>:\w+)"
    r"|(?P<name>\w+) (?P<sign>=|<=|>=|<|>) (?P<value>:\w+)"
    r"|(?P<word>AND|OR)"
)


@cache
def _condition(expression: str) -> Callable[[Item, Item], bool]:
    """Whether an expression of DynamoDB's holds of an item; what is absent compares to nothing."""

    def to_python(term: re.Match[str]) -> str:
        found = term.groupdict()
        name = found["tested"] or found["between"] or found["name"]
        has, it = f"({name!r} in item", f"item[{name!r}]['S']"
        low, high, start, value = (
            f"values[{found[key]!r}]['S']" for key in ("low", "high", "start", "value")
        )
        if found["word"]:
            return str(found["word"]).lower()
        if found["between"]:
            return f"{has} and {low} <= {it} <= {high})"
        if found["name"]:
            return f"{has} and {it} {'==' if found['sign'] == '=' else found['sign']} {value})"
        if found["test"] == "begins_with":
            return f"{has} and {it}.startswith({start}))"
        return f"{has})" if found["test"] == "attribute_exists" else f"(not {has}))"

    code = compile(_TERM.sub(to_python, expression) or "True", expression, "eval")

    def holds(item: Item, values: Item) -> bool:
        return bool(eval(code, {"item": item, "values": values}))  # noqa: S307 - of this project

    return holds
