"""Labels, which say which agents may take which runs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from prefectlite.repository.dialect import Dialect


def fit(run: Collection[str], agent: Collection[str]) -> bool:
    """Whether an agent with these labels may take the run: it has all of the run's; runs without go to agents without."""
    return set(run) <= set(agent) and bool(run) == bool(agent)


def fitting(dialect: Dialect, column: str, agent: Collection[str], bind: Callable[[Any], str]) -> str:
    """`fit` in SQL, for the run's labels in `column`."""
    if not agent:
        return f"{column} = '[]'"
    return f"{column} <> '[]' AND {dialect.contained(column, sorted(set(agent)), bind)}"
