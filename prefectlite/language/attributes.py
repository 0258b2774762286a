"""Arguments of a task's `run` that default to what the task was made with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def defaults_from_attrs(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for the `run` of a task class: those of these arguments that a call leaves out come from the task.

        class Fetch(Task):
            def __init__(self, url=None, **kwargs):
                self.url = url
                super().__init__(**kwargs)

            @defaults_from_attrs("url")
            def run(self, url=None): ...        # a call's None stays None

    Raises TypeError for a name that is no argument of `run`.
    """

    def decorate(run: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(run)
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
        if not takes_any and (unknown := [name for name in names if name not in signature.parameters]):
            raise TypeError(f"defaults_from_attrs: {run.__qualname__}() has no argument named {', '.join(unknown)}")

        def completed(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
            given = signature.bind_partial(self, *args, **kwargs).arguments
            missing = {name: getattr(self, name) for name in names if name not in given and name not in kwargs}
            return {**kwargs, **missing}

        @functools.wraps(run)
        async def run_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await cast(Any, run)(self, *args, **completed(self, args, kwargs))

        @functools.wraps(run)
        def run_plainly(self: Any, *args: Any, **kwargs: Any) -> Any:
            return cast(Any, run)(self, *args, **completed(self, args, kwargs))

        return cast(Callable[P, R], run_async if inspect.iscoroutinefunction(run) else run_plainly)

    return decorate
