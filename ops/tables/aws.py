"""Clients of AWS for the console."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 16


def client(profile: str | None, region: str | None, *, attempts: int = 4) -> "DynamoDBClient":
    """A client with more patience than a function's, which many threads may share.

    Args:
        profile, region: those of the AWS configuration if `None`.

    Raises:
        StoreError: no region is known, or the profile does not exist.
    """
    config = Config(
        connect_timeout=5,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=THREADS,
        tcp_keepalive=True,
    )
    with store_errors():
        session = boto3.Session(profile_name=profile, region_name=region)
        return session.client("dynamodb", config=config)


def stack_outputs(stack: str, profile: str | None, region: str | None) -> dict[str, str]:
    """The outputs of a CloudFormation stack by name.

    Raises:
        StoreError: there is no such stack, or AWS refuses to tell.
    """
    with store_errors():
        session = boto3.Session(profile_name=profile, region_name=region)
        (found,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
