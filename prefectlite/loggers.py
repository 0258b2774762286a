"""Loggers: everything prefectlite and its users' tasks log is below the logger `prefectlite`."""

from __future__ import annotations

import functools
import logging

ROOT_NAME = "prefectlite"
#: The engine's own loggers: what they say below WARNING is told by the states in the record, too.
ENGINE_NAMES = frozenset({f"{ROOT_NAME}.FlowRunner", f"{ROOT_NAME}.TaskRunner"})


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger `prefectlite.<name>`, or `prefectlite` itself; what is logged with it inside a run is in the run's log."""
    return logging.getLogger(f"{ROOT_NAME}.{name}" if name else ROOT_NAME)


@functools.lru_cache(maxsize=256)  # whoever logs, logs again
def run_logger(task_name: str | None, full_name: str | None = None) -> logging.Logger:
    """The logger of the task that runs, of one child where `full_name` says which; outside of tasks that of prefectlite."""
    logger = get_logger(task_name)
    return logger if full_name is None or full_name == task_name else _ChildLogger(f"{ROOT_NAME}.{full_name}", logger)


class _ChildLogger(logging.Logger):
    """The logger of one child of a mapped task.

    Not one of those that `logging` keeps for ever by their name: there may be a million children.
    """

    def __init__(self, name: str, parent: logging.Logger) -> None:
        super().__init__(name)
        self.parent = parent

    def isEnabledFor(self, level: int) -> bool:
        assert self.parent is not None
        return self.parent.isEnabledFor(level)  # which hears of changed levels; this one would keep its first answer

    def __reduce__(self) -> tuple[object, ...]:
        assert self.parent is not None
        return _ChildLogger, (self.name, self.parent)
