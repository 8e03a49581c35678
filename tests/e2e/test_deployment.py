"""`template.yaml`, built and deployed by the SAM CLI onto ministack, used over HTTP, and removed.

The tests are one story, in the order of the file. What ministack cannot show is asserted on the
translated template, in tests/template/test_template.py.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import httpx
import pytest
import yaml

from dev.local.demo import DOCUMENTED, USER
from dev.local.ports import HttpServer
from dev.package.build import ARCHITECTURE
from domain.api_key import generate
from tests.support.api import DECODE, Answer, assert_problem, conversation
from tests.support.emulators import BIN, CREDENTIALS, ROOT, ministack

STACK = "conversations"
SAM = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "sam"
CONSOLE = Path(sys.executable).with_name("conversations")
CACHED_SECONDS = 60
OTHER_USER = "674e29976b6acbac106d2652"
# What no log may hold.
PERSONAL = (
    *("Anna Beispiel", "anna@example.com", "+15550100", "call me back", "tk_"),
    *("Test Customer Name", "customer@example.com", "+123456789", "Thank you for your feedback"),
)


def run(*command: object, environment: dict[str, str], input_text: str = "") -> str:
    """What a command of ours prints; fails the test if it fails."""
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=environment,
        input=input_text,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@dataclass
class Deployment:
    """The stack, its console and its clients, all of this machine."""

    endpoint: str
    environment: dict[str, str]
    build: Path
    started: float = field(default_factory=time.monotonic)

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator."""
        return boto3.client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]

    def deploy(self, **parameters: str) -> None:
        """Brings the stack up to the build, with these parameters."""
        parameters |= {"ArchitectureAsBuilt": ARCHITECTURE, "DynamoDBEndpoint": self.endpoint}
        parameters |= {"Firewall": "false"}  # its association is unknown to ministack
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        template = self._template_for_ministack()
        run(
            *(SAM, "deploy", "--template-file", template, "--stack-name", STACK, "--resolve-s3"),
            *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"),
            *("--parameter-overrides", *overrides),
            environment=self.environment,
        )
        self._set_gateway_responses()

    def _template_for_ministack(self) -> Path:
        """The built template without what ministack refuses: alarms on metric math."""
        built = yaml.safe_load((self.build / "template.yaml").read_text("utf-8"))
        alarm = built["Resources"]["RefusedRequestsAlarm"]["Properties"]
        refused = alarm.pop("Metrics")[1]["MetricStat"]
        alarm |= {"Statistic": refused["Stat"], "Period": refused["Period"], **refused["Metric"]}
        adapted = self.build / "ministack.yaml"
        adapted.write_text(yaml.safe_dump(built), "utf-8")
        return adapted

    def _set_gateway_responses(self) -> None:
        """Does what API Gateway does with those of the body it imports, and ministack does not."""
        template = self.client("cloudformation").get_template(
            StackName=STACK, TemplateStage="Processed"
        )["TemplateBody"]
        template = template if isinstance(template, dict) else json.loads(template)
        body = template["Resources"]["Api"]["Properties"]["Body"]
        gateway = self.client("apigateway")
        for kind, response in body["x-amazon-apigateway-gateway-responses"].items():
            gateway.put_gateway_response(
                restApiId=self.api,
                responseType=kind,
                statusCode=str(response["statusCode"]),
                responseParameters=response["responseParameters"],
                responseTemplates=response["responseTemplates"],
            )
        gateway.create_deployment(restApiId=self.api, stageName="prod")

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @property
    def api(self) -> str:
        """The id of the API."""
        return self.outputs["ConversationsUrl"].partition("//")[2].partition(".")[0]

    @property
    def url(self) -> str:
        """The address of the endpoint on this machine."""
        return f"{self.endpoint}/_aws/execute-api/{self.api}/prod/v1/api/conversations"

    def console(self, *arguments: object, input_text: str = "") -> Any:
        """What a command of the console says, with `--json`."""
        printed = run(
            *(CONSOLE, *arguments, "--stack", STACK, "--json"),
            environment=self.environment,
            input_text=input_text,
        )
        return json.loads(printed)

    def issue(self, user: str, *workspaces: str) -> dict[str, Any]:
        """A new key."""
        granted = [part for workspace in workspaces for part in ("--workspace", workspace)]
        issued: dict[str, Any] = self.console("keys", "issue", "--user", user, *granted)
        return issued

    def load(self, workspace: str, conversations: list[dict[str, Any]], folder: Path) -> None:
        """Loads a file as mongoexport writes it."""
        file = folder / "conversations.json"
        file.write_text("".join(json.dumps(written) + "\n" for written in conversations))
        self.console("load", file, "--workspace", workspace)

    def get(
        self,
        key: str | None,
        workspace: str | None = "demo",
        *,
        path: str = "",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        """One request over HTTP."""
        known = {"x-api-key": key, "x-workspace-id": workspace, "accept-encoding": "identity"}
        sent = {name: value for name, value in known.items() if value is not None}
        response = httpx.request(
            method,
            self.url + path,
            params=parameters,
            headers=sent | (headers or {}),
            timeout=40,
            trust_env=False,
        )
        return Answer(response.status_code, response.headers, response.content)

    def logs(self, part: str = "") -> list[str]:
        """All lines of the log groups whose names hold `part`."""
        logs = self.client("logs")
        lines = []
        for group in logs.describe_log_groups()["logGroups"]:
            if part in group["logGroupName"]:
                events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
                lines += [event["message"].strip() for event in events]
        return lines


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack, deployed."""
    if not SAM.exists() or not (BIN / "ministack").exists():
        pytest.skip("The SAM CLI or ministack is not installed: `make e2e` installs them")
    runtime = runtime_python()
    build = tmp_path_factory.mktemp("build")
    environment = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
    environment |= CREDENTIALS | {"SAM_CLI_TELEMETRY": "0", "NO_PROXY": "127.0.0.1"}
    environment["PATH"] = f"{runtime.parent}{os.pathsep}{environment['PATH']}"
    with ministack(AUTH="true") as endpoint, pytest.MonkeyPatch.context() as patch:
        environment["AWS_ENDPOINT_URL"] = endpoint
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        run(
            *(SAM, "build", "--build-dir", build, "--cache-dir", build / "cache"),
            *("--parameter-overrides", f"ArchitectureAsBuilt={ARCHITECTURE}"),
            environment=environment,
        )
        deployment = Deployment(endpoint, environment, build)
        deployment.deploy()
        yield deployment


def runtime_python() -> Path:
    """The interpreter of the emulator: the functions run in it, and `sam build` asks for it."""
    python = BIN / "python"
    version = run(python, "-c", "import sys; print(*sys.version_info[:2], sep='.')", environment={})
    if version.strip() != "3.13":
        pytest.skip("There is no Python 3.13, which the functions are built for")
    return python.resolve()


CONVERSATIONS = [
    DOCUMENTED,
    *(
        conversation(
            id=f"c{number}",
            agentId=f"agent{number % 2}",
            customer={"name": "Anna Beispiel", "email": "anna@example.com", "phone": "+15550100"},
            messages=[DOCUMENTED["messages"][0] | {"message": "call me back"}],
            createdAt=f"2024-11-01T00:00:{number:02}Z",
        )
        for number in range(24)
    ),
]
THEIRS = conversation(id="theirs", userId=OTHER_USER)


@dataclass
class Keys:
    """Keys that the console issued."""

    key: str
    others: str
    revoked: str
    revoked_id: str
    seen: float = 0


@pytest.fixture(scope="module")
def keys(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys, and the data that they open, all put there by the console."""
    deployment.load("demo", [*CONVERSATIONS, THEIRS], tmp_path_factory.mktemp("data"))
    revoked = deployment.issue(USER, "demo")
    return Keys(
        deployment.issue(USER, "demo", "empty")["key"],
        deployment.issue(OTHER_USER, "demo")["key"],
        revoked["key"],
        revoked["keyId"],
    )


def test_the_documented_conversation_comes_back_byte_for_byte(
    deployment: Deployment, keys: Keys
) -> None:
    answer = deployment.get(keys.key, agentId=str(DOCUMENTED["agentId"]))
    assert answer.status == 200, answer.body
    assert answer.body == json.dumps([DOCUMENTED], separators=(",", ":")).encode()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert UUID(answer.headers["x-request-id"])


def test_a_revoked_key_is_used_once_more_from_the_authorizers_cache(
    deployment: Deployment, keys: Keys
) -> None:
    keys.seen = time.monotonic()
    assert deployment.get(keys.revoked, limit="1").status == 200
    deployment.console("keys", "revoke", keys.revoked_id)
    assert deployment.get(keys.revoked, limit="1").status == 200
    authorized = [line for line in deployment.logs("authorize") if keys.revoked_id in line]
    assert len(authorized) == 1
    # How it ends: `test_a_revoked_key_stops_within_the_cache_time`.


def test_nobody_sees_what_is_not_theirs(deployment: Deployment, keys: Keys) -> None:
    mine, theirs = deployment.get(keys.key), deployment.get(keys.others)
    assert mine.ids == [
        conversation["_id"]
        for conversation in sorted(
            CONVERSATIONS, key=lambda conversation: conversation["createdAt"], reverse=True
        )
    ]
    assert theirs.ids == ["theirs"]
    assert deployment.get(keys.key, "empty").json == []
    assert_problem(deployment.get(keys.others, "empty"), 404, "workspace_not_found")


def test_the_pages_are_the_whole_list_and_their_links_name_the_deployments_host(
    deployment: Deployment, keys: Keys
) -> None:
    host = f"{deployment.api}.execute-api.us-east-1.amazonaws.com"
    found: list[Any] = []
    cursor: dict[str, str] = {}
    for _ in range(5):
        page = deployment.get(keys.key, limit="7", headers={"host": host}, **cursor)
        found += page.json
        if page.cursor is None:
            break
        assert page.headers["link"].startswith(f"<https://{host}/prod/v1/api/conversations?")
        cursor = {"cursor": page.cursor}
    assert found == deployment.get(keys.key).json


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compression_and_304_pass_the_gateway(
    deployment: Deployment, keys: Keys, coding: str
) -> None:
    plain = deployment.get(keys.key)
    with httpx.Client(trust_env=False) as client:  # raw, to see the bytes on the wire
        headers = {"x-api-key": keys.key, "x-workspace-id": "demo", "accept-encoding": coding}
        with client.stream("GET", deployment.url, headers=headers) as response:
            zipped = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == coding
    assert DECODE[coding](zipped) == plain.body
    assert response.headers["etag"] == plain.headers["etag"]
    again = deployment.get(keys.key, headers={"if-none-match": plain.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == plain.headers["etag"]


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (400, "missing_workspace", {"workspace": None}),
        (400, "invalid_workspace", {"workspace": "a b"}),
        (400, "invalid_parameter", {"limit": "0"}),
        (400, "unknown_parameter", {"agentID": "1"}),
        (400, "invalid_cursor", {"cursor": "AAAA"}),
        (404, "workspace_not_found", {"workspace": "another"}),
    ],
)
def test_the_endpoint_refuses_what_the_contract_says(
    deployment: Deployment, keys: Keys, status: int, code: str, request_: dict[str, Any]
) -> None:
    assert_problem(deployment.get(keys.key, **request_), status, code)


@pytest.mark.parametrize("key", [None, "tk_nonsense", generate()])
def test_the_gateway_answers_for_the_authorizer_with_a_problem(
    deployment: Deployment, keys: Keys, key: str | None
) -> None:
    assert keys.key != key
    assert_problem(deployment.get(key), 401, "unauthorized")


@pytest.mark.parametrize("request_", [{"path": "/675c"}, {"method": "POST"}, {"method": "PUT"}])
def test_the_gateway_knows_one_path_and_one_method(
    deployment: Deployment, keys: Keys, request_: dict[str, str]
) -> None:
    assert_problem(deployment.get(keys.key, **request_), 404, "not_found")  # type: ignore[arg-type]


def test_the_smoke_script_passes_and_fails_with_a_key_that_is_none(
    deployment: Deployment, keys: Keys
) -> None:
    where = {"URL": deployment.url, "WORKSPACE": "demo"}
    smoke = [sys.executable, "-m", "dev.smoke"]
    start = time.monotonic()
    run(*smoke, environment=deployment.environment | where | {"KEY": keys.key})
    assert time.monotonic() - start < 10
    with pytest.raises(AssertionError, match="KEY is not valid for this deployment"):
        run(*smoke, environment=deployment.environment | where | {"KEY": generate()})


def test_the_endpoint_may_do_what_its_policy_says_and_no_more(
    deployment: Deployment, keys: Keys
) -> None:
    iam = deployment.client("iam")
    (role,) = (
        listed_role["RoleName"]
        for listed_role in iam.list_roles()["Roles"]
        if "ListConversationsRole" in listed_role["RoleName"]
    )
    name = "read-conversations"
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    text = json.dumps(policy)
    iam.put_role_policy(
        RoleName=role,
        PolicyName=name,
        PolicyDocument=text.replace("dynamodb:Query", "dynamodb:Get"),
    )
    try:
        assert_problem(deployment.get(keys.key), 503, "store_unavailable")
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
    assert deployment.get(keys.key).status == 200


def test_the_logs_are_structured_carry_the_request_id_and_no_personal_data(
    deployment: Deployment, keys: Keys
) -> None:
    answer = deployment.get(keys.key)
    request_id = answer.headers["x-request-id"]
    lines = deployment.logs("list-conversations")
    kept = [line for line in lines if not line.startswith(("START", "END", "REPORT", "INIT_START"))]
    entries = [json.loads(line) for line in kept]
    (listed,) = (entry for entry in entries if entry.get("correlation_id") == request_id)
    assert listed["message"] == "listed"
    assert listed["conversations"] == len(CONVERSATIONS)
    assert listed["service"] == STACK
    metrics = {
        metric["Name"]
        for entry in entries
        if "_aws" in entry
        for metric in entry["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert {"ConversationsReturned", "WholeListBytes", "StoreReads"} <= metrics
    everything = "\n".join(deployment.logs())
    assert [secret for secret in (*PERSONAL, keys.key) if secret in everything] == []


@pytest.fixture
def codedeploy() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """CodeDeploy's API, which ministack does not have: its address, and what it was sent."""
    received: list[dict[str, str]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append({"target": self.headers["X-Amz-Target"], **json.loads(body)})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with HttpServer(Api) as server:
        yield f"http://127.0.0.1:{server.port}", received


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [("LIST_CONVERSATIONS_VERSION", "Succeeded"), ("AUTHORIZE_VERSION", "Failed")],
)
def test_the_hook_tries_the_deployed_versions_and_reports_to_codedeploy(
    deployment: Deployment,
    keys: Keys,
    codedeploy: tuple[str, list[dict[str, str]]],
    endpoint: str,
    status: str,
) -> None:
    assert keys
    address, received = codedeploy
    functions = deployment.client("lambda")
    hook = f"CodeDeployHook_{STACK}"
    before = functions.get_function_configuration(FunctionName=hook)["Environment"]["Variables"]
    assert re.search(rf":{STACK}-ListConv.*:1$", before["LIST_CONVERSATIONS_VERSION"])
    assert re.search(rf":{STACK}-Authorize.*:1$", before["AUTHORIZE_VERSION"])
    changed = {
        "LIST_CONVERSATIONS_VERSION": before[endpoint],
        "AWS_ENDPOINT_URL_CODEDEPLOY": address,
    }
    functions.update_function_configuration(
        FunctionName=hook, Environment={"Variables": before | changed}
    )
    try:
        answer = functions.invoke(
            FunctionName=hook,
            Payload=json.dumps({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}),
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
    finally:
        functions.update_function_configuration(
            FunctionName=hook, Environment={"Variables": before}
        )
    assert received == [
        {
            "target": "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus",
            "deploymentId": "d-1",
            "lifecycleEventHookExecutionId": "hook-1",
            "status": status,
        }
    ], deployment.logs("check-version")


def test_the_tables_are_protected_and_the_logs_end(deployment: Deployment, keys: Keys) -> None:
    assert keys
    dynamodb = deployment.client("dynamodb")
    for output in ("ConversationsTableName", "ApiKeysTableName"):
        table = dynamodb.describe_table(TableName=deployment.outputs[output])["Table"]
        assert table["DeletionProtectionEnabled"] is True
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    groups = deployment.client("logs").describe_log_groups()["logGroups"]
    assert {group.get("retentionInDays") for group in groups} == {30}


def test_a_second_version_takes_over_with_its_parameters(
    deployment: Deployment, keys: Keys
) -> None:
    before = deployment.get(keys.key).body
    public_url = "https://www.example.com/chat"
    deployment.deploy(
        LogLevel="ERROR", ThrottlingRate="1", ThrottlingBurst="3", PublicUrl=public_url
    )
    functions = deployment.client("lambda")
    names = [function["FunctionName"] for function in functions.list_functions()["Functions"]]
    for name in set(names) - {f"CodeDeployHook_{STACK}"}:  # it has no versions
        live = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
        assert live == "2", name
        # The one to roll back to is still there, with its own parameters.
        before_it = functions.get_function_configuration(FunctionName=name, Qualifier="1")
        assert before_it["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == "INFO"
        now = functions.get_function_configuration(FunctionName=name, Qualifier="live")
        assert now["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == "ERROR"
    answer = deployment.get(keys.key)
    assert answer.body == before
    logged = "\n".join(deployment.logs("list-conversations"))
    assert answer.headers["x-request-id"] not in logged
    link = deployment.get(keys.key, limit="1").headers["link"]
    assert link.startswith(f"<{public_url}/v1/api/conversations?limit=1&cursor=")


def test_too_many_requests_at_once_are_throttled_with_a_problem(
    deployment: Deployment, keys: Keys
) -> None:
    time.sleep(3)  # for what the tests before it have spent
    answers = [deployment.get(keys.key, limit="1") for _ in range(10)]
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {200, 429}, statuses
    detail = assert_problem(answers[statuses.index(429)], 429, "rate_limit_exceeded")
    assert "Retry-After" in detail


def test_a_revoked_key_stops_within_the_cache_time(deployment: Deployment, keys: Keys) -> None:
    time.sleep(max(0.0, keys.seen + CACHED_SECONDS + 1 - time.monotonic()))
    assert_problem(deployment.get(keys.revoked, limit="1"), 401, "unauthorized")


def test_a_domain_without_a_certificate_is_refused_before_anything_changes(
    deployment: Deployment, keys: Keys
) -> None:
    assert keys
    changed = deployment.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    with pytest.raises(AssertionError, match="DomainName needs CertificateArn"):
        deployment.deploy(DomainName="api.example.com")
    after = deployment.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert after.get("LastUpdatedTime") == changed.get("LastUpdatedTime")


def test_a_restored_table_is_taken_into_the_stack_as_docs_operate_says(
    deployment: Deployment, keys: Keys
) -> None:
    lost = deployment.outputs["ConversationsTableName"]
    dynamodb = deployment.client("dynamodb")
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=lost, TargetTableName="restored", UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName="restored")
    dynamodb.update_continuous_backups(
        TableName="restored",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    dynamodb.update_table(TableName="restored", DeletionProtectionEnabled=True)
    before = deployment.get(keys.key).body
    unthrottled = {
        "ThrottlingRate": "1000",
        "ThrottlingBurst": "500",
    }  # the tests before it throttle
    deployment.deploy(ExistingConversationsTable="restored", **unthrottled)
    assert deployment.outputs["ConversationsTableName"] == "restored"
    dynamodb.scan(TableName=lost, Limit=1)  # it is kept
    assert deployment.get(keys.key).body == before
    deployment.console("delete", "--workspace", "demo", "--user", OTHER_USER, "--yes")
    assert deployment.get(keys.others).json == []


def test_removal_leaves_the_tables_and_what_they_hold(deployment: Deployment, keys: Keys) -> None:
    assert keys
    outputs = deployment.outputs
    run(
        *(SAM, "delete", "--stack-name", STACK, "--no-prompts", "--region", "us-east-1"),
        environment=deployment.environment,
    )
    assert deployment.client("lambda").list_functions()["Functions"] == []
    assert deployment.client("apigateway").get_rest_apis()["items"] == []
    dynamodb = deployment.client("dynamodb")
    held = dynamodb.scan(TableName=outputs["ConversationsTableName"], Select="COUNT")["Count"]
    assert held == len(CONVERSATIONS) + 1  # of the restored table: and a tombstone
    assert outputs["ApiKeysTableName"] in dynamodb.list_tables()["TableNames"]
