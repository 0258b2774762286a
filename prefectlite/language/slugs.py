"""Slugs: what the record calls the tasks of a graph, the same for the same code whenever it is run."""

from __future__ import annotations

import inspect
from collections import defaultdict
from typing import TYPE_CHECKING

from prefectlite.errors import DuplicateSlugError

if TYPE_CHECKING:
    from prefectlite.language.task import Task


class Slugs:
    """The slugs that the tasks of one graph have taken."""

    def __init__(self) -> None:
        self._taken: dict[str, Task] = {}
        self._counters: dict[str, int] = defaultdict(int)

    def take(self, task: Task, flow_name: str) -> str:
        """The task's own slug, else one of its name, its tags and a number. Raises DuplicateSlugError if it is taken."""
        slug = task.slug
        if not slug:
            slug = self._numbered("-".join([task.name, *sorted(task.tags)]))
        elif slug in self._taken:
            raise DuplicateSlugError(
                f'A task with the slug "{slug}" already exists in this flow.'
                f" In flow {flow_name!r}, give one of them another slug or name:"
                f" {_described(self._taken[slug])} and {_described(task)}"
            )
        self._taken[slug] = task
        return slug

    def release(self, slug: str) -> None:
        """Let another task have `slug`."""
        self._taken.pop(slug, None)

    def copy(self) -> Slugs:
        """The same slugs, taken on from here independently."""
        new = Slugs()
        new._taken.update(self._taken)
        new._counters.update(self._counters)
        return new

    def _numbered(self, prefix: str) -> str:
        while True:
            self._counters[prefix] += 1
            slug = f"{prefix}-{self._counters[prefix]}"
            if slug not in self._taken:
                return slug


def _described(task: Task) -> str:
    """The task with the place of its code, where that is known."""
    run = inspect.unwrap(task.run)
    code = getattr(run, "__code__", None)
    if code is None or run.__module__.startswith("prefectlite."):
        return repr(task)
    return f"{task!r} ({code.co_filename}:{code.co_firstlineno})"
