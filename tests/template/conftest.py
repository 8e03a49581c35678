import tomllib

import pytest

from tests.support.sam import ROOT, Json, translated


@pytest.fixture(scope="package")
def template() -> Json:
    return translated()


@pytest.fixture(scope="package")
def deployed() -> Json:
    """As `sam deploy` deploys it, with the parameters of samconfig.toml."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return translated(*config["default"]["deploy"]["parameters"]["parameter_overrides"].split())
