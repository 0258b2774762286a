"""What the rest of prefectlite asks of a database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from prefectlite.live.hints import Hint
from prefectlite.repository.dialect import Dialect

T = TypeVar("T")
Row = tuple[Any, ...]

#: How long somebody outside may have the database at work for one question, and how much it may answer.
ANSWER_SECONDS, ANSWER_BYTES = 10.0, 64_000_000
TOO_LONG = f"The query takes longer than {ANSWER_SECONDS:g} seconds: ask for less at a time, with `where` and `limit`"
TOO_LARGE = f"The answer is larger than {ANSWER_BYTES:,} bytes: ask for less at a time, with `where` and `limit`"


class Transaction(Protocol):
    """Statements that become visible together or not at all. SQL has `$1…$n` for its parameters."""

    @property
    def dialect(self) -> Dialect:
        """How the database says what databases say differently."""
        ...

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement."""
        ...

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run one statement."""
        ...

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement once per row."""
        ...

    def announce(self, hint: Hint) -> None:
        """Let the other processes that use the database know where there is something new, once it is committed."""
        ...


class Writable(Protocol):
    """Where transactions can be made.

    The work of a transaction is an `async def` that awaits nothing but its Transaction: SQLite runs it to its end in one hop
    on the connection's thread, a database across the network awaits each statement.
    """

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
        """What `work` returned, after the commit; after a power cut, too, when `durable`.

        Cancelling the caller cancels the waiting only: the transaction is committed or rolled back as a whole.
        Raises StoreError if the database cannot do it; an exception of `work` rolls back and is passed on.
        """
        ...


class Database(Writable, Protocol):
    """One open database."""

    @property
    def dialect(self) -> Dialect:
        """How the database says what databases say differently."""
        ...

    @property
    def place(self) -> str:
        """The database's name in messages, without a password."""
        ...

    @property
    def broken(self) -> asyncio.Event:
        """Set when the disk did not keep what it was given: everything that writes raises StoreError from then on."""
        ...

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """All rows of a statement that only reads, from the last committed state."""
        ...

    async def answer(self, sql: str, params: Sequence[Any] = ()) -> str:
        """The one text that a statement gives for somebody outside, who may have asked for the impossible.

        Such statements never keep all readers from others. Raises BadRequest for one that takes longer than ANSWER_SECONDS,
        or whose text has more than ANSWER_BYTES.
        """
        ...

    async def aclose(self) -> None:
        """Finish what was begun and let go of the database."""
        ...
