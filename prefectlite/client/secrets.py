"""Secrets, as clients use them: set, deleted and listed by everybody, read only by code that runs here."""

from __future__ import annotations

import asyncio
from typing import Any

from prefectlite.client.key_values import as_text, checked_name
from prefectlite.clock import Clock
from prefectlite.errors import BadRequest, SecretNotFound
from prefectlite.repository import hooks, secrets
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.secret_keys import SecretKeys


class Secrets:
    """Secrets by their names, encrypted in the database. Every method raises SecretUnreadable if there is no key."""

    def __init__(self, database: Database, clock: Clock, keys: SecretKeys) -> None:
        self._database, self._clock, self._keys = database, clock, keys

    async def set(self, name: str, value: Any) -> None:
        """Keep a secret: JSON of at most 10,000 bytes. Raises BadRequest, or TypeError for what JSON has no word for."""
        checked_name(name, "name")
        if value is None or value == "":
            raise BadRequest("value: a secret needs one that is not empty")
        as_text(value)
        sealed = await asyncio.to_thread(self._keys.sealed, name, value)

        async def work(tx: Transaction) -> None:
            await secrets.put(tx, name, sealed, self._clock.micros())

        await self._database.write(work, durable=True)

    async def get(self, name: str) -> Any:
        """The value of a secret. Raises SecretNotFound."""
        sealed = await secrets.sealed_secret(self._database, name)
        if sealed is None:
            raise SecretNotFound(f'Local Secret "{name}" was not found.')  # the words that Prefect's users know
        return await asyncio.to_thread(self._keys.opened, name, sealed)

    async def delete(self, name: str) -> None:
        """Forget a secret. Raises SecretNotFound."""

        async def work(tx: Transaction) -> None:
            await secrets.remove(tx, name)

        await self._database.write(work, durable=True)

    async def names(self) -> list[str]:
        """The names of all secrets, in alphabetical order."""
        return [name for name, _ in await secrets.all_sealed(self._database)]

    async def rotate(self) -> int:
        """How many secrets are encrypted with a new key now; what hooks keep is, too.

        Raises SecretUnreadable, before anything has changed, for one that cannot be decrypted.
        """
        own = await secrets.all_sealed(self._database)
        found = [*own, *await hooks.all_sealed(self._database)]
        values = await asyncio.to_thread(lambda: [self._keys.opened(name, sealed) for name, sealed in found])
        await asyncio.to_thread(self._keys.rotate)  # before the database: whatever happens, no secret is without its key
        sealing = zip(found, values, strict=True)
        changes = await asyncio.to_thread(
            lambda: [(name, sealed, self._keys.sealed(name, value)) for (name, sealed), value in sealing]
        )

        async def work(tx: Transaction) -> None:
            await secrets.reseal(tx, changes[: len(own)])
            await hooks.reseal(tx, changes[len(own) :])

        await self._database.write(work, durable=True)
        return len(own)
