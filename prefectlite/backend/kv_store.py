"""The key-value store: small JSON values that outlive runs.

Inside a run it is that of the run's database, wherever the run is executed; elsewhere that of the server which `api_url`
names, or of the local database.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from prefectlite.client import questions
from prefectlite.client.http import Client
from prefectlite.client.key_values import KeyValues, as_text
from prefectlite.contexts import active_record
from prefectlite.errors import KeyNotFound, NotFound
from prefectlite.orchestrator.calls import DELETE_KEY, GET_KEY, LIST_KEYS, SET_KEY, Call, KeyValue
from prefectlite.plain_calls import answer, asks_a_server, check_can_wait
from prefectlite.settings import current_settings

T = TypeVar("T")
Q = TypeVar("Q")
_LIST = "query { key_value(order_by: {key: asc}) { key } }"


def set_key_value(key: str, value: Any) -> str:
    """The id of `key`, whose value is `value` from now on: JSON of at most 10,000 bytes.

    Raises ValueError if it is longer or the key is empty, TypeError for what JSON has no word for.
    """
    if active_record.get() is not None:
        return _ask_elsewhere("set", SET_KEY, KeyValue(key, as_text(value)))

    async def of_server(client: Client) -> str:
        return str((await client.graphql(questions.SET_KEY, input={"key": key, "value": value}))["set_key_value"]["id"])

    return _ask("set", lambda store: store.set(key, value), of_server)


def get_key_value(key: str) -> Any:
    """The value of a key. Raises ValueError if there is none."""
    if active_record.get() is not None:
        return json.loads(_ask_elsewhere("get", GET_KEY, key))

    async def of_server(client: Client) -> Any:
        found = (await client.graphql(questions.KEY, key=key))["key_value"]
        if not found:
            raise KeyNotFound(f"No value found for key: {key}")
        return found[0]["value"]

    return _ask("get", lambda store: store.get(key), of_server)


def delete_key(key: str) -> bool:
    """Forget a key. True; raises ValueError if it is not there."""
    if active_record.get() is not None:
        return _ask_elsewhere("delete", DELETE_KEY, key)

    async def of_server(client: Client) -> bool:
        found = (await client.graphql(questions.KEY, key=key))["key_value"]
        if not found:
            raise KeyNotFound(f"No key {key} found to delete")
        return bool((await client.graphql(questions.DELETE_KEY, id=found[0]["id"]))["delete_key_value"]["success"])

    return _ask("delete", lambda store: store.delete(key), of_server)


def list_keys() -> list[str]:
    """All keys, in alphabetical order."""
    if active_record.get() is not None:
        return _ask_elsewhere("keys", LIST_KEYS, None)

    async def of_server(client: Client) -> list[str]:
        return [row["key"] for row in (await client.graphql(_LIST))["key_value"]]

    return _ask("keys", lambda store: store.keys(), of_server)


_NAMES = {"set": "set_key_value", "get": "get_key_value", "delete": "delete_key", "keys": "list_keys"}


def _ask(
    method: str,
    of_store: Callable[[KeyValues], Coroutine[Any, Any, T]],
    of_server: Callable[[Client], Coroutine[Any, Any, T]],
) -> T:
    name, awaitable = f"{_NAMES[method]}()", f"runtime.session.client.key_values.{method}(…)"
    if not asks_a_server():
        return answer(name, lambda session: of_store(session.client.key_values), awaitable)
    check_can_wait(name, awaitable)

    async def ask() -> T:
        async with Client(current_settings().api_url) as client:
            return await of_server(client)

    return asyncio.run(ask())


def _ask_elsewhere(method: str, call: Call[Q, T], question: Q) -> T:
    """What whoever has the record of the run says, of which this is part."""
    try:
        answer: T = active_record.get().answer(f"{_NAMES[method]}()", call, question)
    except NotFound as error:  # on its way it has become one of many
        raise KeyNotFound(str(error)) from None
    return answer
