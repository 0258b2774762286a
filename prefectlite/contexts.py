"""What is current: the flow being written, the run being executed, the values user code reads as `prefectlite.context`.

All of it lives in context variables, so coroutines and the worker threads that carry their context see their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

#: The flow inside whose `with` block this code runs.
active_graph: ContextVar[Any] = ContextVar("prefectlite_active_graph", default=None)
#: The innermost `with case(...)` block this code is in: it is told of every task that is added to a flow.
active_case: ContextVar[Any] = ContextVar("prefectlite_active_case", default=None)
#: The innermost `with resource_manager(...)` block this code is in, likewise.
active_resource: ContextVar[Any] = ContextVar("prefectlite_active_resource", default=None)
#: True inside a function that `apply_map` calls: what it makes is mapped as a whole, so nothing in it may be.
inside_apply_map: ContextVar[bool] = ContextVar("prefectlite_inside_apply_map", default=False)
#: The session that executes the run this code is part of, or of the enclosing `async with Runtime()`.
active_session: ContextVar[Any] = ContextVar("prefectlite_active_session", default=None)
#: Where log lines of this run go (`engine.run_logs`).
active_log: ContextVar[Any] = ContextVar("prefectlite_active_log", default=None)
#: True while a flow's file is imported by the server or the command line: `run` and `register` do nothing then.
loading_flow: ContextVar[bool] = ContextVar("prefectlite_loading_flow", default=False)

_NOTHING: dict[str, Any] = {}
_values: ContextVar[dict[str, Any]] = ContextVar("prefectlite_values", default=_NOTHING)


def enter_values(values: dict[str, Any]) -> None:
    """Make `values` the content of `prefectlite.context` from here on in this coroutine or thread."""
    _values.set(values)


class Context:
    """The values of the current run: `context.flow_run_id`, `context.get("map_index")`, `with context(key=value):`.

    Inside a task: flow_name, flow_run_id, flow_run_name, parameters, scheduled_start_time, date, task_name, task_slug,
    task_run_id, task_run_count, map_index (None unless mapped), logger. A missing one raises AttributeError.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return _values.get()[name]
        except KeyError:
            if name == "logger":
                return logging.getLogger(f"prefectlite.{self.get('task_name', 'flow')}")
            raise AttributeError(f"prefectlite.context has no value {name!r} here") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __getitem__(self, name: str) -> Any:
        return _values.get()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        _values.set({**_values.get(), name: value})

    def __contains__(self, name: object) -> bool:
        return name in _values.get()

    def get(self, name: str, default: Any = None) -> Any:
        """The value called `name`, or `default`."""
        return _values.get().get(name, default)

    def to_dict(self) -> dict[str, Any]:
        """A copy of all current values."""
        return dict(_values.get())

    def __call__(self, *mappings: dict[str, Any], **values: Any) -> AbstractContextManager[Context]:
        """Values for the length of a `with` block."""
        return self._block({key: value for mapping in mappings for key, value in mapping.items()} | values)

    @contextmanager
    def _block(self, values: dict[str, Any]) -> Iterator[Context]:
        token = _values.set({**_values.get(), **values})
        try:
            yield self
        finally:
            _values.reset(token)

    def __repr__(self) -> str:
        return "<Context>"

    def __reduce__(self) -> Any:
        raise TypeError("prefectlite.context cannot be pickled; read its values where you need them")


#: What user code imports as `prefectlite.context`.
context = Context()
