"""Tags for all the tasks that are written in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefectlite.contexts import context


@contextmanager
def tags(*names: str) -> Iterator[None]:
    """Give the tasks that are made, copied or bound inside the `with` block these tags; blocks inside of it add theirs."""
    with context(tags=set(names) | set(context.get("tags") or ())):
        yield
