"""What task runs show of what they did: links, texts, tables."""

from __future__ import annotations

from typing import Any

import msgspec

from prefectlite.clock import Clock
from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.repository.database import Database, Transaction

MOST_BYTES = 1_000_000
_NEW = "INSERT INTO task_run_artifact (id, task_run_id, kind, data, created, updated) VALUES ($1, $2, $3, $4, $5, $5)"


class Artifacts:
    """Keeps artifacts. Data is at most a million bytes of JSON: BadRequest beyond."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def create(self, task_run_id: str, kind: str, data: Any) -> str:
        """The id of a new artifact of a task run. Raises NotFound."""
        text, artifact_id = _text(data), new_id()

        async def work(tx: Transaction) -> None:
            if not await tx.fetch("SELECT 1 FROM task_run WHERE id = $1", (task_run_id,)):
                raise NotFound(f"Task run {task_run_id} not found")
            await tx.execute(_NEW, (artifact_id, task_run_id, kind, text, self._clock.micros()))

        await self._database.write(work)
        return artifact_id

    async def update(self, artifact_id: str, data: Any) -> None:
        """Give an artifact other data. Raises NotFound."""
        text = _text(data)

        async def work(tx: Transaction) -> None:
            sql = "UPDATE task_run_artifact SET data = $2, updated = $3 WHERE id = $1 RETURNING id"
            _check(await tx.fetch(sql, (artifact_id, text, self._clock.micros())), artifact_id)

        await self._database.write(work)

    async def delete(self, artifact_id: str) -> None:
        """Delete an artifact. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            sql = "DELETE FROM task_run_artifact WHERE id = $1 RETURNING id"
            _check(await tx.fetch(sql, (artifact_id,)), artifact_id)

        await self._database.write(work, durable=True)


def _check(rows: list[Any], artifact_id: str) -> None:
    if not rows:
        raise NotFound(f"Artifact {artifact_id} not found")


def _text(data: Any) -> str:
    encoded = msgspec.json.encode(data)
    if len(encoded) > MOST_BYTES:
        raise BadRequest(f"data: an artifact has at most {MOST_BYTES:,} bytes of JSON, this one {len(encoded):,}")
    return encoded.decode()
