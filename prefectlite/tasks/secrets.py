"""Tasks whose results are secrets. The record does not keep them: a run that is taken up again reads them again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prefectlite.language.task import Task
from prefectlite.masks import note_read
from prefectlite.secrets import Secret


class SecretBase(Task):
    """A task that gives a secret. Takes what every task takes but `result` and `checkpoint`."""

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("result") is not None or kwargs.get("target") is not None:
            raise ValueError("Result types for Secrets are not configurable.")
        super().__init__(**{**kwargs, "checkpoint": False})


class PrefectSecret(SecretBase):
    """The value of `Secret(name)`; the name may also be given when the task is called."""

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self.secret_name = name
        super().__init__(name=name, **kwargs)

    def run(self, name: str | None = None) -> Any:
        """The secret. Raises ValueError if no name is given, or there is no such secret."""
        wanted = self.secret_name if name is None else name
        if wanted is None:
            raise ValueError("A secret name must be provided.")
        return Secret(wanted).get()


class EnvVarSecret(SecretBase):
    """The value of the environment variable `name`, as `cast` makes it; None if it is not set."""

    def __init__(
        self,
        name: str | None = None,
        cast: Callable[[Any], Any] | None = None,
        raise_if_missing: bool = False,
        **kwargs: Any,
    ) -> None:
        self.secret_name, self.cast, self.raise_if_missing = name, cast, raise_if_missing
        super().__init__(name=name, **kwargs)

    def run(self, name: str | None = None) -> Any:
        """The secret. Raises ValueError if no name is given, or the variable has to be set and is not."""
        wanted = self.secret_name if name is None else name
        if wanted is None:
            raise ValueError("A secret name must be provided.")
        value = os.environ.get(wanted)
        if value is None:
            if self.raise_if_missing:
                raise ValueError(f"Environment variable not set: {wanted}")
            return None
        note_read(value)
        return value if self.cast is None else self.cast(value)
