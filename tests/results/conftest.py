"""What tests of the result store share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prefectlite.results.files import FileResultStore
from prefectlite.results.seal import Seal


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[[], FileResultStore]:
    """Makes stores over one directory, each as another process has it."""
    return lambda: FileResultStore(tmp_path / "kept.results", Seal(tmp_path / "kept.results.key"))


@pytest.fixture
def store(store_of: Callable[[], FileResultStore]) -> FileResultStore:
    return store_of()
