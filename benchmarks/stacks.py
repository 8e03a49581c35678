"""What is measured: each stack as it would be deployed, with a layout of the table of its own."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from benchmarks.corpus import WORKSPACE, Conversation
from benchmarks.store import Item, Table, table
from dev.local.runtime import Process
from dev.package.build import ARCHITECTURE, runtime_python
from domain.conversation import Conversation as Model
from storage.items import pack

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
ARTIFACT = BUILD / "artifact"
_PEERS = Path(__file__).with_name("peers")


@dataclass(frozen=True)
class Stack:
    """A function, and how its table holds a conversation.

    Attributes:
        layout: the name of its table.
    """

    name: str
    command: Sequence[str]
    layout: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, store: str) -> Process:
        """Its process, with the DynamoDB at this address."""
        return Process(
            self.command, {**LAMBDA, **self.environment, "AWS_ENDPOINT_URL_DYNAMODB": store}
        )


LAMBDA = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_LOG_FORMAT": "Text",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test" * 90,  # as long as Lambda's
    "LANG": "en_US.UTF-8",
    "NODE_NO_WARNINGS": "1",
    "PATH": os.environ["PATH"],
    "POWERTOOLS_METRICS_NAMESPACE": "Conversations",
    "POWERTOOLS_SERVICE_NAME": "conversations",
    "PYTHONDONTWRITEBYTECODE": "1",  # a function's folder is read-only
    "TZ": ":UTC",
}
"""The environment that Lambda and the templates set."""
RUNTIME = BUILD / "runtime"
# What Lambda's Python brings, compiled.
_OF_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")


def _python(name: str, handler: str, folder: Path, layout: str, **environment: str) -> Stack:
    command = (str(RUNTIME / "bin" / "python"), "-m", "awslambdaric", handler)
    return Stack(name, command, layout, {"PYTHONPATH": str(folder), **environment})


def _ours(name: str, layout: str) -> Stack:
    handler = "handlers.list_conversations.handler"
    return _python(name, handler, ARTIFACT, layout, CONVERSATIONS_TABLE=layout)


OURS = _ours("this endpoint", "documents")
PLAIN = _ours("this endpoint, plain documents", "plain")
AUTHORIZER = _python(
    "this endpoint's authorizer",
    "handlers.authorize.handler",
    ARTIFACT,
    "keys",
    API_KEYS_TABLE="keys",
)
_BUNDLE = BUILD / "peers"
TUTORIAL = _python(
    "Powertools tutorial", "powertools_tutorial.handler", _BUNDLE, "maps", TABLE_NAME="maps"
)
_LEAN_BUNDLE = BUILD / "peers-without-boto3"
LEAN_TUTORIAL = _python(
    "Powertools tutorial, Lambda's boto3",
    "powertools_tutorial.handler",
    _LEAN_BUNDLE,
    "maps",
    TABLE_NAME="maps",
)
FASTAPI = _python("FastAPI + Mangum", "fastapi_mangum.handler", _BUNDLE, "maps", TABLE_NAME="maps")
_NODE_BUNDLE = BUILD / "node"
NODE = Stack(
    "Node, document client + zod",
    ("node", str(_NODE_BUNDLE / "runtime.mjs")),
    "maps",
    {"TABLE_NAME": "maps"},
)
BARE = _python("floor: bare handler", "bare.handler", _BUNDLE, "none")
PARSE = _python("floor: orjson loads + dumps", "floors.parse", _BUNDLE, "none")

_serialize = TypeSerializer().serialize


def _map(conversation: Conversation) -> Item:
    keys = {
        "pk": f"{WORKSPACE}#{conversation['userId']}",
        "sk": f"{conversation['createdAt']}#{conversation['_id']}",
    }
    return {name: _serialize(value) for name, value in {**keys, **conversation}.items()}


def _document(conversation: Conversation) -> Item:
    return {**pack(WORKSPACE, Model.model_validate(conversation)).attributes}


def _plain(conversation: Conversation) -> Item:
    model = Model.model_validate(conversation)
    return {**pack(WORKSPACE, model).attributes, "document": {"S": model.to_json().decode()}}


def tables(conversations: Sequence[Conversation]) -> dict[str, Table]:
    """The same conversations in every layout."""
    read = {"document", "pk", "sk"}
    return {
        "documents": table(map(_document, conversations), read),
        "plain": table(map(_plain, conversations), read),
        "maps": table(map(_map, conversations)),
    }


def document_bytes(conversations: Sequence[Conversation]) -> int:
    """The size of their stored documents."""
    return sum(len(_document(one)["document"]["B"]) for one in conversations)


def has_node() -> bool:
    """Whether this machine has Node, with npm."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def prepare() -> None:
    """Builds every stack anew, each as its authors would ship it."""
    shutil.rmtree(BUILD, ignore_errors=True)
    python = runtime_python()
    _run(python, str(ROOT / "dev" / "package" / "build.py"), ARCHITECTURE, str(ARTIFACT))
    _run(python, "-m", "venv", str(RUNTIME))
    lock = ("--quiet", "--require-hashes", "--requirement", str(ROOT / "requirements/bench.txt"))
    install = ("-m", "pip", "install", "--disable-pip-version-check", *lock)
    _run(str(RUNTIME / "bin" / "python"), *install)  # compiled, as Lambda has its runtime
    # What `sam build` makes holds no byte code.
    _run(python, *install, "--no-compile", "--target", str(_BUNDLE))
    for peer in _PEERS.glob("*.py"):
        shutil.copy(peer, _BUNDLE)
    shutil.copytree(_BUNDLE, _LEAN_BUNDLE, ignore=shutil.ignore_patterns(*_OF_THE_RUNTIME))
    if has_node():
        shutil.copytree(
            _PEERS / "node", _NODE_BUNDLE, ignore=shutil.ignore_patterns("node_modules")
        )
        _run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=_NODE_BUNDLE)
        _run("npm", "run", "--silent", "build", cwd=_NODE_BUNDLE)


def _run(*command: str, cwd: Path = ROOT) -> None:
    environment: dict[str, Any] = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    subprocess.run(command, check=True, cwd=cwd, env=environment)
