"""How `template.yaml` brings a new version to clients: tried first, then a canary."""

import re

from botocore.loaders import Loader

from check.check_version import CALLER
from tests.support.sam import ROOT, Json, of_type

GROUPS = {"ListConversationsFunctionDeploymentGroup", "AuthorizeFunctionDeploymentGroup"}
LAMBDA_NAME_LIMIT = 64


def test_a_deployment_is_a_canary_that_alarms_roll_back(deployed: Json) -> None:
    groups = of_type(deployed, "AWS::CodeDeploy::DeploymentGroup")
    assert set(groups) == GROUPS
    for name, group in groups.items():
        configuration = group["DeploymentConfigName"]["Fn::Sub"][1]
        assert configuration == {"ConfigName": "Canary10Percent5Minutes"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        alarms = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
        assert alarms == {
            *("ListConversationsVersionAlarm", "AuthorizeVersionAlarm"),
            *("InternalErrorsAlarm", "StoreErrorsAlarm"),
        }
        alias = deployed["Resources"][name.replace("DeploymentGroup", "Aliaslive")]
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["DeploymentGroupName"] == {"Ref": name}


def test_a_deployment_that_fails_or_is_rolled_back_tells_the_people_of_the_alarms(
    deployed: Json,
) -> None:
    for group in of_type(deployed, "AWS::CodeDeploy::DeploymentGroup").values():
        (trigger,) = group["TriggerConfigurations"]
        assert set(trigger["TriggerEvents"]) == {"DeploymentFailure", "DeploymentRollback"}
        assert trigger["TriggerTargetArn"] == {"Ref": "AlarmTopic"}
    shapes = Loader().load_service_model("codedeploy", "service-2")["shapes"]
    assert set(trigger["TriggerEvents"]) <= set(shapes["TriggerEventType"]["enum"])
    # It publishes as CodeDeploy's role; the policy "…Limited" lacks sns:Publish.
    (policy,) = of_type(deployed, "AWS::IAM::Role")["CodeDeployServiceRole"]["ManagedPolicyArns"]
    assert policy.endswith(":policy/service-role/AWSCodeDeployRoleForLambda")


def test_both_functions_are_tried_before_a_canary_and_only_then(
    template: Json, deployed: Json
) -> None:
    for name in GROUPS:
        alias = name.replace("DeploymentGroup", "Aliaslive")
        policy = deployed["Resources"][alias]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert policy["BeforeAllowTrafficHook"] == {"Ref": "CheckVersionFunction"}
        assert "UpdatePolicy" not in template["Resources"][alias]


def test_the_hook_gets_the_versions_that_the_deployment_makes(
    template: Json, deployed: Json
) -> None:
    for version in (template, deployed):
        hook = of_type(version, "AWS::Lambda::Function")["CheckVersionFunction"]
        aliases = of_type(version, "AWS::Lambda::Alias")
        live = {
            variable: aliases[f"{part}FunctionAliaslive"]["FunctionVersion"]["Fn::GetAtt"][0]
            for variable, part in (
                ("LIST_CONVERSATIONS_VERSION", "ListConversations"),
                ("AUTHORIZE_VERSION", "Authorize"),
            )
        }
        assert hook["Environment"]["Variables"] == {
            variable: {"Ref": logical_id} for variable, logical_id in live.items()
        }


def test_codedeploy_may_invoke_the_hook_by_its_name_which_bounds_the_stacks(
    template: Json,
) -> None:
    hook = of_type(template, "AWS::Lambda::Function")["CheckVersionFunction"]
    assert hook["FunctionName"] == {"Fn::Sub": "CodeDeployHook_${AWS::StackName}"}
    longest = LAMBDA_NAME_LIMIT - len("CodeDeployHook_")
    docs = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert f"at most {longest} characters" in docs
    assert "function:CodeDeployHook_conversations" in docs  # in CI's policy


def test_the_hook_has_no_version_no_alias_and_a_role_that_invokes_and_reports(
    template: Json,
) -> None:
    for kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        assert len(of_type(template, kind)) == 2
    hook = of_type(template, "AWS::Lambda::Function")["CheckVersionFunction"]
    assert not {"TracingConfig", "SnapStart"} & set(hook)
    assert hook["Role"] == {"Fn::GetAtt": ["CheckVersionRole", "Arn"]}
    assert hook["LoggingConfig"]["LogGroup"] == {"Ref": "CheckVersionLogGroup"}
    role = of_type(template, "AWS::IAM::Role")["CheckVersionRole"]
    (policy,) = role["Policies"]
    arn = "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}"
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": [
                {"Fn::Sub": "${ListConversationsFunction.Arn}:*"},
                {"Fn::Sub": "${AuthorizeFunction.Arn}:*"},
            ],
        },
        {
            "Effect": "Allow",
            "Action": "codedeploy:PutLifecycleEventHookExecutionStatus",
            "Resource": {"Fn::Sub": f"{arn}:deploymentgroup:${{AWS::StackName}}-*/*"},
        },
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": ["CheckVersionLogGroup", "Arn"]},
        },
    ]


def test_the_hook_is_one_file_whose_handler_exists(template: Json) -> None:
    hook = of_type(template, "AWS::Lambda::Function")["CheckVersionFunction"]
    module, _, name = hook["Handler"].partition(".")
    assert f"def {name}(" in (ROOT / "check" / f"{module}.py").read_text("utf-8")
    assert re.search(f"cp {module}.py ", (ROOT / "check" / "Makefile").read_text("utf-8"))


def test_the_docs_name_the_caller_that_logs_show() -> None:
    assert f"`{CALLER}`" in (ROOT / "docs" / "operate.md").read_text("utf-8")
