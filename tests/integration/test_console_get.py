"""`conversations get` on local tables: which options leave the endpoint's reads to boto3."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from console.cli import app
from dev.local.demo import DOCUMENTED, USER
from domain.conversation import Conversation
from storage.items import pack
from tests.support.wire import Asked, Wire, body_of, wire


@pytest.fixture
def dynamodb() -> Iterator[Wire]:
    item = pack("demo", Conversation.model_validate(DOCUMENTED))
    reachable = body_of()  # to the console's own look, before, whether there is a table
    with wire(Query=body_of(Items=[item.attributes], Count=1), GetItem=reachable) as seen:
        yield seen


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An AWS profile with its keys and region."""
    file = tmp_path / "config"
    keys = "aws_access_key_id = other\naws_secret_access_key = secret\n"
    file.write_text(f"[profile operator]\nregion = eu-central-1\n{keys}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.delenv("AWS_DEFAULT_REGION")  # else boto3 prefers it to the profile's
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # else boto3 stays with its profile
    return "operator"


def get(*options: str) -> None:
    """Runs the command, which must show the conversation."""
    command = ["get", "--workspace", "demo", "--user", USER, *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == [DOCUMENTED]


def lists(dynamodb: Wire) -> list[Asked]:
    """The reads of the list."""
    return [request for request in dynamodb.asked if request.operation == "Query"]


def test_a_local_address_is_read_the_short_way(dynamodb: Wire) -> None:
    get()
    assert lists(dynamodb) == [Asked("Query", "reader", "us-east-1")]


def test_a_region_is_read_the_short_way_and_signed_for(dynamodb: Wire) -> None:
    get("--region", "eu-west-1")
    assert lists(dynamodb) == [Asked("Query", "reader", "eu-west-1")]


def test_a_profile_is_read_through_boto3_from_the_start(dynamodb: Wire, profile: str) -> None:
    get("--profile", profile)
    assert lists(dynamodb) == [Asked("Query", "boto3", "eu-central-1")]


def test_without_a_local_address_boto3_reads_from_the_start(
    dynamodb: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For all services: boto3 obeys it, and the short way is left alone.
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb.address)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    get()
    assert lists(dynamodb) == [Asked("Query", "boto3", "us-east-1")]
