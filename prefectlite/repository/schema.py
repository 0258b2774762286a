"""The schema and its numbered migrations, applied when a database is opened."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

import msgspec

from prefectlite.errors import SchemaTooNew, StoreError
from prefectlite.repository.database import Row, Transaction, Writable

_MEMO = "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL)"
#: What `missing` wants to know.
APPLIED = "SELECT number, digest FROM migration ORDER BY number"


class Migration(msgspec.Struct, frozen=True):
    """One step from a schema to the next."""

    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, by which an edited migration is noticed."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, types: Mapping[str, str]) -> list[str]:
        """The statements, with the database's own words for the types; `types` may have others for TEXT and INTEGER, too."""
        plain = re.sub(r"\b(?:TEXT|INTEGER)\b", lambda word: types.get(word[0], word[0]), re.sub(r"--.*", "", self.text))
        code = Template(plain).substitute(types)
        return [statement.strip() for statement in code.split(";\n") if statement.strip()]


@functools.cache
def migrations() -> tuple[Migration, ...]:
    """All migrations this version of prefectlite knows, in order."""
    found = [file for file in files("prefectlite.repository").joinpath("migrations").iterdir() if file.name.endswith(".sql")]
    known = [Migration(int(file.name[:4]), file.name[5:-4], file.read_text(encoding="utf-8")) for file in found]
    return tuple(sorted(known, key=lambda migration: migration.number))


def missing(applied: Sequence[Row], place: str) -> list[Migration]:
    """The migrations that the database at `place` does not have yet. Raises as `migrate` does."""
    known = migrations()
    digests: dict[int, str] = dict(applied)
    if (newest := max(digests, default=0)) > known[-1].number:
        raise SchemaTooNew(
            f"The database {place} has schema {newest}, and this prefectlite knows {known[-1].number}:"
            " use the newer prefectlite that wrote it, or another database"
        )
    for migration in known:
        if digests.get(migration.number, migration.digest) != migration.digest:
            raise StoreError(
                f"The database {place} was made with another text of migration {migration.number} ({migration.name}):"
                " use the prefectlite that made it, or another database"
            )
    return [migration for migration in known if migration.number not in digests]


async def migrate(database: Writable, types: Mapping[str, str], place: str) -> None:
    """Bring the database at `place` to the newest schema, one transaction for each step; several processes may try at once.

    Raises SchemaTooNew if a newer prefectlite wrote it, StoreError if a migration it was made with has been edited since.
    """

    async def step(tx: Transaction) -> int:
        await tx.execute(_MEMO)
        steps = missing(await tx.fetch(APPLIED), place)
        for migration in steps[:1]:
            for statement in migration.statements(types):
                await tx.execute(statement)
            await tx.execute(
                "INSERT INTO migration VALUES ($1, $2, $3)", (migration.number, migration.name, migration.digest)
            )
        return len(steps) - 1

    while await database.write(step, durable=True) > 0:
        pass
