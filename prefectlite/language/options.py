"""The options of tasks: what may be given for them, and what a task keeps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Container, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from prefectlite.contexts import context
from prefectlite.errors import FlowError
from prefectlite.language.caching import duration_only, never_use
from prefectlite.language.callbacks import handlers_of
from prefectlite.language.delays import KeptDelay, RetryDelay, duration, kept_delay

if TYPE_CHECKING:
    from prefectlite.language.task import Task

# Neither a database nor JSON takes these.
_UNRECORDABLE = re.compile(r"[\x00\ud800-\udfff]")
#: What the record can count.
_MOST_RETRIES = 2**31 - 1

#: The attributes that the constructor of Task sets.
ATTRIBUTES = (
    *("auto_generated", "cache_for", "cache_key", "cache_validator", "checkpoint", "executor", "log_stdout", "max_retries"),
    *("name", "nout", "result", "retry_delay", "retry_on", "skip_on_upstream_skip", "slug", "state_handlers", "tags"),
    *("target", "task_run_name", "thread", "timeout", "trigger"),
)


class TaskOptions(TypedDict, total=False):
    """The arguments of Task that are not its name, for type checkers."""

    slug: str | None
    tags: Iterable[str] | None
    max_retries: int | None
    retry_delay: RetryDelay | None
    retry_on: type[Exception] | Iterable[type[Exception]] | None
    timeout: timedelta | float | None
    trigger: Callable[..., bool] | None
    skip_on_upstream_skip: bool
    cache_for: timedelta | float | None
    cache_validator: Callable[..., bool] | None
    cache_key: str | None
    checkpoint: bool | None
    state_handlers: Iterable[Callable[..., Any]] | None
    on_failure: Callable[[Any, Any], Any] | None
    log_stdout: bool
    result: Any
    target: str | Callable[..., str] | None
    task_run_name: str | Callable[..., str] | None
    nout: int | None
    executor: Any
    thread: str | None


def text(value: Any, what: str) -> Any:
    """`value`, which is a str that can be recorded, or None. Raises TypeError or FlowError, naming `what`."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{what} must be text, not {value!r}")
    if value and not value.isprintable() and _UNRECORDABLE.search(value):
        raise FlowError(f"{what} has NUL or half a character (a surrogate) in it, which cannot be recorded: {value!r}")
    return value


def function(value: Any, what: str) -> Any:
    """`value`, which can be called or is None. Raises TypeError, naming `what`."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be a function, not {value!r}")
    return value


def template(value: Any, what: str) -> Any:
    """`value`, which is a template, a function that makes the text, or None. Raises TypeError, naming `what`."""
    if value is not None and not isinstance(value, str) and not callable(value):
        raise TypeError(f"{what} must be a template or a function that returns text, not {value!r}")
    return value


def tags_of(tags: Iterable[str] | None) -> set[str]:
    """These tags and those of the `with tags(...)` blocks around. Raises TypeError for what are no tags."""
    if isinstance(tags, str):
        raise TypeError("Tags should be a set of tags, not a string.")
    chosen = set(tags or ())
    if around := context.get("tags"):
        chosen.update(around)
    for tag in chosen:
        if not isinstance(tag, str):
            raise TypeError(f"Tags must be text, not {tag!r}")
        text(tag, "A tag")
    return chosen


def retries(
    name: str, max_retries: int | None, retry_delay: Any, retry_on: Any
) -> tuple[int, KeptDelay, set[type[Exception]] | None]:
    """Number, delay and exception types of the retries of the task `name`. Raises FlowError or TypeError, naming it."""
    number = context.config.task_max_retries if max_retries is None else max_retries
    if number and retry_delay is None:
        retry_delay = context.config.task_retry_delay
    if not isinstance(number, int):
        raise TypeError(f"Task {name!r}: `max_retries` must be a whole number, not {max_retries!r}")
    if not 0 <= number <= _MOST_RETRIES:
        raise FlowError(f"Task {name!r}: `max_retries` must be from 0 to {_MOST_RETRIES:,}, not {number:,}")
    if number and retry_delay is None:
        raise FlowError(
            "A datetime.timedelta `retry_delay` must be provided if max_retries > 0"
            f" (or a number of seconds, or several). Give one to task {name!r}"
        )
    if not number and retry_delay is not None:
        raise FlowError(
            "A `max_retries` argument greater than 0 must be provided if specifying a retry delay."
            f" Give one to task {name!r}"
        )
    if not number and retry_on:
        raise FlowError(f"A number of `max_retries` must be provided if `retry_on` is set. Give one to task {name!r}")
    return number, kept_delay(retry_delay, f"The `retry_delay` of task {name!r}"), _exception_types(name, retry_on)


def _exception_types(name: str, retry_on: Any) -> set[type[Exception]] | None:
    if isinstance(retry_on, type) or not hasattr(retry_on, "__iter__"):
        retry_on = () if retry_on is None else (retry_on,)
    kinds = set(retry_on)
    for kind in kinds:
        if not isinstance(kind, type):
            raise TypeError(
                f"Invalid `retry_on` value {kind!r}. Expected an exception type but got an instance of"
                f" {type(kind).__name__} (task {name!r})"
            )
        if not issubclass(kind, Exception):
            raise TypeError(f"Invalid `retry_on` value {kind!r}. Expected an exception subclass. (task {name!r})")
    return kinds or None


def seconds(name: str, timeout: timedelta | float | None) -> float | None:
    """The timeout of the task `name` in seconds, a whole number if it is one. Raises FlowError or TypeError, naming it."""
    if timeout is None:
        timeout = context.config.task_timeout
    if timeout is None:
        return None
    length = duration(timeout, f"The `timeout` of task {name!r}")
    if length <= timedelta(0):
        raise FlowError(f"The `timeout` of task {name!r} must be longer than nothing, not {timeout!r}")
    number = length.total_seconds()
    return int(number) if number.is_integer() else number


def caching(
    name: str, cache_for: timedelta | float | None, cache_validator: Callable[..., bool] | None
) -> tuple[timedelta | None, Callable[..., bool] | None]:
    """How long results of the task `name` can be used again, and what decides it. Raises TypeError or FlowError."""
    function(cache_validator, f"The `cache_validator` of task {name!r}")
    if cache_for is None and cache_validator not in (None, never_use):
        warnings.warn(
            "cache_validator provided without specifying cache expiration (cache_for); this Task will not be cached."
            f" Give `cache_for` to task {name!r}",
            UserWarning,
            stacklevel=4,
        )
    length = None if cache_for is None else duration(cache_for, f"The `cache_for` of task {name!r}")
    return length, cache_validator or (never_use if cache_for is None else duration_only)


def result_at(result: Any, target: Any) -> Any:
    """`result`, or a copy of it that is kept at `target` if there is one; warns if it says another place itself."""
    if target is None or result is None:
        return result
    if result.location and result.location != target:
        warnings.warn(
            "Both `result.location` and `target` were provided. The `target` value will be used.", UserWarning, stacklevel=4
        )
    placed = result.copy()
    placed.location = target
    return placed


def thread_of(name: str, thread: Any) -> Any:
    """`thread`, which is "flow" or None. Raises FlowError, naming the task `name`."""
    if thread not in (None, "flow"):
        raise FlowError(f'The `thread` of task {name!r} must be "flow" (the run\'s own thread) or None, not {thread!r}')
    return thread


def check_changed(task: Task, changed: Container[str]) -> None:
    """Check the attributes of a copy, the changed ones of which are as a user gave them. Raises FlowError or TypeError."""
    task.name = text(task.name, "The name of a task") or type(task).__name__
    text(task.slug, f"The slug of task {task.name!r}")
    delay, kinds = task.retry_delay, task.retry_on
    if not task.max_retries:  # what was set for the retries that are switched off goes with them
        delay = task.retry_delay if "retry_delay" in changed else None
        kinds = task.retry_on if "retry_on" in changed else None
    task.max_retries, task.retry_delay, task.retry_on = retries(task.name, task.max_retries, delay, kinds)
    task.timeout = seconds(task.name, task.timeout)
    function(task.trigger, f"Task {task.name!r}: `trigger`")
    if "cache_for" in changed or "cache_validator" in changed:
        task.cache_for, task.cache_validator = caching(task.name, task.cache_for, task.cache_validator)
    if "state_handlers" in changed:
        task.state_handlers = handlers_of(task.state_handlers, None, f"Task {task.name!r}")
    if "target" in changed or "result" in changed:
        task.target = template(task.target, f"Task {task.name!r}: `target`")
        task.result = result_at(task.result, task.target)
    thread_of(task.name, task.thread)
