"""With `--long`, properties are tried on many more examples."""

from __future__ import annotations

import pytest

from tests.properties import profiles


def pytest_configure(config: pytest.Config) -> None:
    profiles.factor = 30 if config.getoption("--long") else 1
