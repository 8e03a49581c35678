"""`template.yaml` as SAM reads it, offline: by its translator, and by the SAM CLI's own code."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "template.yaml").read_text(encoding="utf-8")
# aws-sam-translator pins an older pydantic than the one that ships: it lives with the SAM CLI.
PYTHON = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "python"
_TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

template = yaml_parse(sys.stdin.read())
# What `sam package` puts there.
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"
template["Resources"]["CheckVersionFunction"]["Properties"]["Code"] = {
    "S3Bucket": "bucket", "S3Key": "check"
}
json.dump(transform(template, dict(one.split("=") for one in sys.argv[1:]), None), sys.stdout)
"""
_LOCAL_ROUTES = """
import json, sys
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

stacks, _ = SamLocalStackProvider.get_stacks(sys.argv[1])
json.dump(
    [
        [*route.methods, route.path, route.function_name,
         route.authorizer_object and route.authorizer_object.lambda_name]
        for route in ApiProvider(stacks).routes
    ],
    sys.stdout,
)
"""


def translated(*parameters: str, source: str = SOURCE) -> Json:
    """The template as SAM hands it to CloudFormation, with parameters as `NAME=VALUE`."""
    template: Json = _run(_TRANSLATE, *parameters, input_text=source)
    return template


def local_routes() -> list[list[str | None]]:
    """What `sam local start-api` serves: method, path, function and authorizer's function."""
    routes: list[list[str | None]] = _run(_LOCAL_ROUTES, str(ROOT / "template.yaml"))
    return routes


def of_type(template: Json, kind: str) -> dict[str, Json]:
    """The properties of the resources of a type, by name."""
    resources = template["Resources"].items()
    return {
        name: resource["Properties"] for name, resource in resources if resource["Type"] == kind
    }


def _run(code: str, *arguments: str, input_text: str = "") -> Any:
    assert PYTHON.exists(), f"{PYTHON} is missing: run `make check`, which installs it"
    result = subprocess.run(
        [PYTHON, "-c", code, *arguments],
        input=input_text,
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
