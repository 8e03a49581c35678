"""Reads a SAM template, and resolves its intrinsic functions for use on this machine."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
_NO_VALUE = object()

Resources = Mapping[str, tuple[str, Any]]


def read(path: Path, types: Collection[str]) -> tuple[Resources, Mapping[str, Any]]:
    """The resources of these types with their properties, and the `Globals` of functions.

    Parameters have their defaults. A `Ref` to a resource is its logical id.

    Raises:
        ValueError: the template uses an intrinsic function that is not known here.
    """
    source = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a CSafeLoader with tags
    resolver = _Resolver(source)
    resources = {
        name: (resource["Type"], resolver.resolve(resource.get("Properties", {})))
        for name, resource in source["Resources"].items()
        if resource["Type"] in types
    }
    return resources, resolver.resolve(source["Globals"]["Function"])


def function_arn(name: str) -> str:
    """The ARN of a function."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"


class _Loader(yaml.CSafeLoader):
    """Reads CloudFormation's short forms as its long ones: `!Sub x` as `{Fn::Sub: x}`."""


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            raise ValueError(f"template.yaml: !{tag} is not known to the local API")
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {"Ref" if tag == "Ref" else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _tagged)


class _Resolver:
    """Resolves intrinsic functions. A `Ref` to a resource is its logical id."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._conditions = source.get("Conditions", {})
        self._values: dict[str, Any] = {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::NoValue": _NO_VALUE,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::StackName": "conversations",
            "AWS::URLSuffix": "amazonaws.com",
            **{
                name: parameter["Default"]
                for name, parameter in source.get("Parameters", {}).items()
            },
        }
        self._functions = {
            name
            for name, resource in source["Resources"].items()
            if resource["Type"] == "AWS::Serverless::Function"
        }

    def resolve(self, node: Any) -> Any:
        match node:
            case dict():
                if len(node) == 1 and str(key := next(iter(node))).startswith(("Fn::", "Ref")):
                    return self._intrinsic(key, node[key])
                resolved = {key: self.resolve(value) for key, value in node.items()}
                return {key: value for key, value in resolved.items() if value is not _NO_VALUE}
            case list():
                items = (self.resolve(item) for item in node)
                return [item for item in items if item is not _NO_VALUE]
            case _:
                return node

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._values.get(argument, argument)
            case "Fn::GetAtt":
                return self._attribute(*argument)
            case "Fn::Sub":
                return re.sub(r"\$\{([\w:.]+)}", lambda match: self._name(match[1]), argument)
            case "Fn::If":
                condition, if_true, if_false = argument
                holds = self._holds(self._conditions[condition])
                return self.resolve(if_true if holds else if_false)
            case _:
                raise ValueError(f"template.yaml: {name} is not known to the local API")

    def _name(self, name: str) -> str:
        resource, _, attribute = name.partition(".")
        if attribute:
            return self._attribute(resource, attribute)
        return str(self._values.get(name, name))

    def _attribute(self, resource: str, attribute: str) -> str:
        if attribute == "Arn" and resource in self._functions:
            return function_arn(resource)
        return f"{resource}.{attribute}"

    def _holds(self, condition: Any) -> bool:
        ((name, argument),) = condition.items()
        match name:
            case "Fn::Equals":
                left, right = self.resolve(argument)
                return bool(left == right)
            case "Fn::Not":
                return not self._holds(argument[0])
            case _:
                raise ValueError(f"template.yaml: {name} is not known to the local API")
