"""Tries the new versions of both functions before a canary sends them requests.

CodeDeploy runs this once for each function, and waits for a status. A version with a wrong handler,
processor or environment fails here, so the deployment ends before a client meets it. What all
versions share is not tried: a role, a KMS grant or a table changes for the old version too. Nor
does CodeDeploy run it when the stack is created, or without a canary.

The versions come from the template, and the requests are fixed: whoever could choose one here could
read as any user.
"""

import json
import logging
import os
import time
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CALLER = "deployment-check"
"""User, workspace and key id of the request. Nobody has conversations there."""
UNKNOWN_KEY = "tk_DeploymentCheckNobodysKey023c06w"
"""Well-formed, so the authorizer must look it up."""

_PATH = "/v1/api/conversations"
_ATTEMPTS, _WAIT_SECONDS = 24, 10
_NOT_YET = {
    "AccessDeniedException",  # a new role's policy takes IAM some seconds
    "ResourceNotReadyException",
    "SnapStartNotReadyException",
    "TooManyRequestsException",
}

logger = logging.getLogger(__name__)


def handler(event: dict[str, str], _context: object) -> None:
    """Report to CodeDeploy whether both new versions answer as they should.

    Args:
        event: CodeDeploy's `DeploymentId` and `LifecycleEventHookExecutionId`.
    """
    status = "Failed"
    try:
        check()
        status = "Succeeded"
    except Exception:
        # Not raised: Lambda would run the hook again, and CodeDeploy takes only one status.
        logger.exception("The new versions get no requests.")
    finally:  # CodeDeploy takes silence for a failure only after an hour
        boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status=status,
        )


def check() -> None:
    """Invoke the two versions that the environment names.

    Raises:
        ValueError: one of them failed, or its answer is not the expected one.
        ClientError: Lambda did not invoke it.
    """
    endpoint, authorizer = os.environ["LIST_CONVERSATIONS_VERSION"], os.environ["AUTHORIZE_VERSION"]
    answer = _invoke(endpoint, _list_event())
    if (answer["statusCode"], json.loads(answer["body"])) != (200, []):
        raise ValueError(f"{endpoint} answered {answer['statusCode']}, not 200 and an empty list.")
    answer = _invoke(authorizer, _authorizer_event())
    if [statement["Effect"] for statement in answer["policyDocument"]["Statement"]] != ["Deny"]:
        raise ValueError(f"{authorizer} did not deny an unknown key.")
    logger.info("%s and %s answer as expected.", endpoint, authorizer)


def _invoke(version: str, event: dict[str, Any]) -> Any:
    """The version's answer. Waits up to four minutes until it can run."""
    # The endpoint may run for 28 s; botocore retries throttles and lost connections, for seconds.
    config = Config(read_timeout=40, retries={"mode": "standard", "total_max_attempts": 3})
    functions = boto3.client("lambda", config=config)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = functions.invoke(FunctionName=version, Payload=json.dumps(event))
            break
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_YET or attempt == _ATTEMPTS:
                raise
            time.sleep(_WAIT_SECONDS)
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:  # the status is 200 all the same
        # Without the message, which may contain data.
        raise ValueError(f"{version} failed: {payload.get('errorType')}. See its log.")
    return payload


def _list_event() -> dict[str, Any]:
    return {
        "httpMethod": "GET",
        "resource": _PATH,
        "path": _PATH,
        **_headers("x-workspace-id", CALLER),
        "queryStringParameters": {"limit": "1"},
        "multiValueQueryStringParameters": {"limit": ["1"]},
        "requestContext": {
            "requestId": str(uuid4()),
            "path": _PATH,
            "resourcePath": _PATH,
            "authorizer": {"userId": CALLER, "workspaceIds": CALLER, "keyId": CALLER},
        },
    }


def _authorizer_event() -> dict[str, Any]:
    return {
        "type": "REQUEST",
        "methodArn": f"arn:aws:execute-api:us-east-1:123456789012:{CALLER}/prod/GET{_PATH}",
        **_headers("x-api-key", UNKNOWN_KEY),
        "requestContext": {"requestId": str(uuid4())},
    }


def _headers(name: str, value: str) -> dict[str, Any]:
    return {"headers": {name: value}, "multiValueHeaders": {name: [value]}}
