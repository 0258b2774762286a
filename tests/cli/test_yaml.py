"""What commands print as YAML, read by a reader that nobody here wrote."""

from __future__ import annotations

import json
from typing import Any

import click.testing
import pytest
import yaml as reader
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.cli import group
from prefectlite.cli.yaml import yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "yes",
        "No",
        "~",
        "null",
        "1e3",
        "0x1f",
        "1:30",
        "2024-01-01",
        "a: b",
        "- a",
        "a #b",
        " a",
        "a ",
        "=",
        "<<",
        ".inf",
        "\u2028",
    ]
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.text("ab", min_size=130), inner, max_size=4),
    max_leaves=12,
)


@given(DATA)
def test_it_is_read_as_it_was(value: Any) -> None:
    assert reader.safe_load(yaml(value)) == value


def test_what_people_see() -> None:
    shown = yaml({"name": "my flow", "labels": ["a", "yes"], "none": [], "tasks": [{"slug": "a-1", "tags": {}}], "id": None})
    assert shown == ('name: my flow\nlabels:\n  - a\n  - "yes"\nnone: []\ntasks:\n  - slug: a-1\n    tags: {}\nid: null\n')


@pytest.mark.parametrize(
    "command", ["config", "diagnostics", "get projects", "kv list", "limits list", "db size", "token list"]
)
def test_all_that_is_listed(command: str) -> None:
    def shown(kind: str) -> Any:
        done = click.testing.CliRunner().invoke(group, [*command.split(), "-o", kind])
        assert done.exit_code == 0, done.output
        return reader.safe_load(done.stdout) if kind == "yaml" else json.loads(done.stdout)

    assert type(shown("yaml")) is type(shown("json")) is not str
