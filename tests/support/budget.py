"""How many cases a generated test takes: a person waits for it, CI takes what it can."""

import os

CI = os.environ.get("CI", "") not in ("", "false")


def examples(in_ci: int) -> int:
    """The cases of a hypothesis test: all of them in CI, a tenth for a person, but at least 3."""
    return in_ci if CI else max(3, in_ci // 10)
