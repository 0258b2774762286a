from __future__ import annotations

import pytest

from prefectlite import context
from prefectlite.language.tagging import tags


def test_blocks_nest_by_union() -> None:
    with tags("a"):
        with tags("b", "c"):
            assert context.tags == {"a", "b", "c"}
        assert context.tags == {"a"}
        with tags():
            assert context.tags == {"a"}
    assert context.get("tags") is None


def test_an_error_ends_a_block_too() -> None:
    with pytest.raises(KeyError), tags("a"):
        raise KeyError
    assert "tags" not in context


def test_it_adds_to_what_the_context_says() -> None:
    with context(tags=["x"]), tags("a"):
        assert context.tags == {"a", "x"}
