"""Secrets, as the code of tasks reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from prefectlite.contexts import active_graph, active_record, context
from prefectlite.errors import FlowError, NotFound, SecretNotFound
from prefectlite.masks import note_read
from prefectlite.orchestrator.calls import SECRET
from prefectlite.plain_calls import answer
from prefectlite.registry import secret_reader
from prefectlite.session import Session
from prefectlite.settings import PREFIX, current_settings

_ABSENT: Any = object()


class Secret:
    """The secret called `name`.

    It is that of `prefectlite.context.secrets`, else of the variable `PREFECTLITE_SECRET_<name>`, else of the database.
    What a run has read with it shows as *** in the run's log and in the messages of its states.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self) -> Any:
        """The value; what is text and reads as JSON is what that says.

        Raises SecretNotFound, a ValueError; FlowError, another one, while a flow is being written; UnsupportedLoop on an
        event loop where the database would have to be asked.
        """
        if active_graph.get() is not None:
            raise FlowError("Secrets should only be retrieved during a Flow run, not while building a Flow.")
        value = self._nearby()
        if value is _ABSENT:
            value = self._recorded()
        read = _read(value)
        note_read(value, read)
        return read

    def _recorded(self) -> Any:
        name = f"Secret({self.name!r}).get()"
        if (elsewhere := active_record.get()) is not None:
            try:
                return elsewhere.answer(name, SECRET, self.name)
            except NotFound as error:  # on its way it has become one of many
                raise SecretNotFound(str(error)) from None
        awaitable = f"runtime.session.client.secrets.get({self.name!r})"
        return answer(name, lambda session: session.client.secrets.get(self.name), awaitable)

    def exists(self) -> bool:
        """Whether there is such a secret."""
        if self._nearby() is not _ABSENT:
            return True
        if active_record.get() is not None:
            try:
                self._recorded()
            except SecretNotFound:
                return False
            return True
        names = answer(
            f"Secret({self.name!r}).exists()",
            lambda session: session.client.secrets.names(),
            "runtime.session.client.secrets.names()",
        )
        return self.name in names

    def _nearby(self) -> Any:
        given = context.get("secrets") or current_settings().context.get("secrets") or {}
        return given[self.name] if self.name in given else os.environ.get(f"{PREFIX}SECRET_{self.name}", _ABSENT)

    def __repr__(self) -> str:
        return f"<Secret: {self.name}>"


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


async def known_secrets(session: Session, names: Iterable[str]) -> dict[str, Any]:
    """Those of these secrets that are known where this runs, or to the database of `session`; those of the context too."""
    known = dict(context.get("secrets") or {})
    for name in names:
        if (value := Secret(name)._nearby()) is _ABSENT:
            with suppress(SecretNotFound):
                value = await session.client.secrets.get(name)
        if value is not _ABSENT:
            known[name] = value
    return known


def make_known() -> None:
    """Let what is further down read secrets, too: storages, whose repositories ask for a token."""
    secret_reader[:] = [lambda name: Secret(name).get()]
