"""What is current: the flow being written, the run being executed, the values user code reads as `prefectlite.context`.

All of it lives in context variables, so coroutines and the worker threads that carry their context see their own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from prefectlite.loggers import run_logger
from prefectlite.settings import Settings, current_settings, load_settings, with_changes

#: The flow inside whose `with` block this code runs.
active_graph: ContextVar[Any] = ContextVar("prefectlite_active_graph", default=None)
#: The innermost `with case(...)` block this code is in: it is told of every task that is added to a flow.
active_case: ContextVar[Any] = ContextVar("prefectlite_active_case", default=None)
#: The innermost `with resource_manager(...)` block this code is in, likewise.
active_resource: ContextVar[Any] = ContextVar("prefectlite_active_resource", default=None)
#: True inside a function that `apply_map` calls: what it makes is mapped as a whole, so nothing in it may be.
inside_apply_map: ContextVar[bool] = ContextVar("prefectlite_inside_apply_map", default=False)
#: Who asks the record for code that runs where there is no session: an agent elsewhere, the process of one run.
active_record: ContextVar[Any] = ContextVar("prefectlite_active_record", default=None)
#: The session that executes the run this code is part of, or of the enclosing `async with Runtime()`.
active_session: ContextVar[Any] = ContextVar("prefectlite_active_session", default=None)
#: Where log lines of this run go (`engine.run_logs`).
active_log: ContextVar[Any] = ContextVar("prefectlite_active_log", default=None)
#: What this run's log and states must not show: the secrets that it has read (`masks`).
active_mask: ContextVar[Any] = ContextVar("prefectlite_active_mask", default=None)
#: True while a flow's file is imported by the server or the command line: `run` and `register` do nothing then.
loading_flow: ContextVar[bool] = ContextVar("prefectlite_loading_flow", default=False)

#: True in a worker process of a ProcessExecutor: it has no database.
worker_process: ContextVar[bool] = ContextVar("prefectlite_worker_process", default=False)

#: Values of `prefectlite.context` that belong to the task a flow is run in, and not to the flow.
_OF_THE_TASK = (
    "task_name task_full_name task_slug task_id task_run_id task_run_count task_run_name task_tags map_index task_loop_count"
    " task_loop_result idempotency_key resume parameters logger tags flow_run_name"
).split()
# None: nothing was entered or set here, and the content is what the settings say. The dictionary in it is never changed,
# only replaced, so that whoever has a copy of the context variables keeps what it had.
_values: ContextVar[dict[str, Any] | None] = ContextVar("prefectlite_values", default=None)
_ABSENT: Any = object()


def enter_values(values: dict[str, Any]) -> None:
    """Make `values` the content of `prefectlite.context` from here on in this coroutine or thread."""
    _values.set(values)


def current_values() -> Mapping[str, Any]:
    """The content of `prefectlite.context`, not a copy: to be read and let go."""
    values = _values.get()
    return _initial() if values is None else values


def surrounding_values() -> dict[str, Any]:
    """The values of `prefectlite.context` here that a run which begins here has as well."""
    return {name: value for name, value in current_values().items() if name not in _OF_THE_TASK}


@functools.cache
def _initial() -> dict[str, Any]:
    return load_settings().context


def _computed(name: str) -> Any:
    """What is there without having been set: nothing has to load settings or make loggers for code that never asks."""
    if name == "config":
        return current_settings()
    if name == "logger":
        values = current_values()
        return run_logger(values.get("task_name"), values.get("task_full_name"))
    return _ABSENT


class Values(dict[str, Any]):
    """A dictionary whose items are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class Context(MutableMapping[str, Any]):
    """The values of the current run: `context.flow_run_id`, `context.get("map_index")`, `with context(key=value):`.

    Inside a task: flow_name, flow_run_id, flow_run_name, parameters, scheduled_start_time, date, task_name, task_slug,
    task_run_id, task_run_count, map_index (None unless mapped), and everywhere `logger` and `config`, the settings. They are
    read, set and deleted as attributes and as items; a missing one raises AttributeError and KeyError. What is set is seen
    by the coroutine or thread that set it and by what it starts, and undone at the end of a `with context(...)` around it.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"'Context' object has no attribute {name!r}: prefectlite.context has no such value here"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"'Context' object has no attribute {name!r}") from None

    def __getitem__(self, name: str) -> Any:
        values = current_values()
        if name in values:
            return values[name]
        if (value := _computed(name)) is _ABSENT:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        _values.set({**current_values(), name: value})

    def __delitem__(self, name: str) -> None:
        left = self.to_dict()
        del left[name]
        _values.set(left)

    def __contains__(self, name: object) -> bool:
        return name in current_values() or name in ("config", "logger")

    def __iter__(self) -> Iterator[str]:
        return iter(current_values())

    def __len__(self) -> int:
        return len(current_values())

    def get(self, name: str, default: Any = None) -> Any:
        """The value called `name`, or `default`."""
        value = current_values().get(name, _ABSENT)
        if value is _ABSENT:
            value = _computed(name)
        return default if value is _ABSENT else value

    def update(self, *others: Any, **values: Any) -> None:
        """Set several values, given as `dict.update` takes them."""
        _values.set({**current_values(), **dict(*others, **values)})

    def clear(self) -> None:
        """Take all values away."""
        _values.set({})

    def to_dict(self) -> dict[str, Any]:
        """A copy of all current values; `logger` and `config` are in it where they were set."""
        return dict(current_values())

    def copy(self) -> Values:
        """A copy of all current values that can be read like the context; changing it changes nothing here."""
        return Values(current_values())

    def __call__(
        self, *mappings: Mapping[str, Any] | Iterable[tuple[str, Any]], **values: Any
    ) -> AbstractContextManager[Context]:
        """Values for the length of a `with` block, at whose end everything is as it was before it.

        Of `config`, which may be a dictionary, the settings that are named change; other values are replaced.
        """
        return self._block({key: value for mapping in mappings for key, value in dict(mapping).items()} | values)

    @contextmanager
    def _block(self, values: dict[str, Any]) -> Iterator[Context]:
        before = _values.get()
        if isinstance(config := values.get("config"), Mapping) and isinstance(self.config, Settings):
            values = {**values, "config": with_changes(self.config, config)}
        _values.set({**current_values(), **values})
        try:
            yield self
        finally:
            _values.set(before)  # not `reset`, which a generator that is closed elsewhere could not do

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return "<Context>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "Pickling context objects is explicitly not supported. You should always access context as an attribute of the"
            " `prefectlite` module, as in `prefectlite.context`, and read its values where you need them"
        )


#: What user code imports as `prefectlite.context`.
context = Context()


@contextmanager
def raise_on_exception() -> Iterator[None]:
    """Inside this block `flow.run()` raises what a task raised, or that it timed out, instead of ending as Failed."""
    with context(raise_on_exception=True):
        yield
