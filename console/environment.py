"""Sets environment variables temporarily, and names the one that the local API defines."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PARTIQL = "CONVERSATIONS_PARTIQL"
"""`off` if the DynamoDB does not support PartiQL, like moto's server in the local API."""

Variables = Mapping[str, str | None]
"""Environment variables; `None` unsets one."""


@contextmanager
def environment(variables: Variables) -> Iterator[None]:
    """Set the variables, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Variables) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
