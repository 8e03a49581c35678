"""Environment variables: set for a while, and the one that the local API adds to AWS's own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PARTIQL = "CONVERSATIONS_PARTIQL"
"""`off` where the DynamoDB knows no PartiQL: that of the local API, moto's server, does not."""

Variables = Mapping[str, str | None]
"""Environment variables; `None` stands for one that is absent."""


@contextmanager
def environment(variables: Variables) -> Iterator[None]:
    """Sets the variables, and puts back what they were."""
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
