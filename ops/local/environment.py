"""The environment variables of this process, set for a while."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
