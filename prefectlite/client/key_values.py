"""The key-value store, as clients use it."""

from __future__ import annotations

import json
from typing import Any

from prefectlite.clock import Clock
from prefectlite.errors import BadRequest
from prefectlite.orchestrator.calls import KeyValue
from prefectlite.repository import key_values
from prefectlite.repository.database import Database, Transaction

#: Bytes of JSON; larger values are results, or files.
MOST_BYTES = 10_000
#: Characters of a key, which is in an index.
LONGEST_KEY = 500


class KeyValues:
    """Small values by their keys, for all runs and everybody else who uses the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def set(self, key: str, value: Any) -> str:
        """The id of `key`, whose value is `value` from now on: JSON of at most 10,000 bytes.

        Raises BadRequest if it is longer, or the key empty or too long; TypeError for what JSON has no word for.
        """
        checked_name(key, "key")
        text = as_text(value)

        async def work(tx: Transaction) -> str:
            return await key_values.put(tx, key, text, self._clock.micros())

        return await self._database.write(work, durable=True)

    async def get(self, key: str) -> Any:
        """The value of a key. Raises KeyNotFound."""
        return await key_values.value_of(self._database, key)

    async def set_text(self, given: KeyValue) -> str:
        """As `set`, of a value that travelled as JSON."""
        return await self.set(given.key, json.loads(given.value))

    async def get_text(self, key: str) -> str:
        """As `get`, for a value that is to travel as JSON."""
        return json.dumps(await self.get(key))

    async def delete(self, key: str) -> bool:
        """Forget a key. True; raises KeyNotFound if it is not there."""

        async def work(tx: Transaction) -> bool:
            await key_values.remove_key(tx, key)
            return True

        return await self._database.write(work, durable=True)

    async def delete_id(self, key_value_id: str) -> None:
        """Forget the key with this id. Raises KeyNotFound."""

        async def work(tx: Transaction) -> None:
            await key_values.remove(tx, key_value_id)

        await self._database.write(work, durable=True)

    async def keys(self) -> list[str]:
        """All keys, in alphabetical order."""
        return await key_values.keys(self._database)


def as_text(value: Any) -> str:
    """`value` as JSON. Raises BadRequest where it is too long, TypeError where JSON has no word for it."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (ValueError, RecursionError) as error:  # not a number, circles, lone surrogates
        raise BadRequest(f"value: this cannot be written as JSON: {error}") from None
    if size > MOST_BYTES:
        raise BadRequest("Value payload exceedes 10 KB limit.")  # the words that Prefect's users know
    return text


def checked_name(name: str, what: str) -> str:
    """`name`, if a row can be called so. Raises BadRequest."""
    if not isinstance(name, str) or not name.strip():
        raise BadRequest(f"{what}: a text is needed that is not empty")
    if len(name) > LONGEST_KEY:
        raise BadRequest(f"{what}: at most {LONGEST_KEY} characters, this one has {len(name):,}")
    if not name.isprintable():
        raise BadRequest(f"{what}: {name!r} has characters that cannot be shown")
    return name
