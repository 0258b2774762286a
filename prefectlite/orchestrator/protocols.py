"""The engine's ports: what it needs from the world, each with a local form and a remote one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from prefectlite.live.hints import Hint
from prefectlite.orchestrator.queue import Queue
from prefectlite.records import LogRow, ResultRecord, StateRecord, TaskRunRow
from prefectlite.rules.proposals import Proposal, Verdict


class Orchestrator(Protocol):
    """The one door."""

    #: Those in this process that wait for a slot of a concurrency limit.
    queue: Queue

    @property
    def waiting(self) -> int:
        """How many proposals are not being decided yet."""
        ...

    def propose(self, proposal: Proposal, *, again: bool = False) -> Awaitable[Verdict]:
        """The verdict, once it is committed; `again` if the proposal was made before, and its answer lost.

        May be awaited again. Cancelling who waits does not take the proposal back: CancelledError comes after the verdict.
        """
        ...

    def note(self, proposal: Proposal) -> None:
        """Propose something whose verdict need not be waited for; it is committed within 20 ms."""
        ...


class RunLog(Protocol):
    """Where the log lines of runs go."""

    def write(self, line: LogRow) -> None:
        """Take a line; it is written down soon, in order. From any thread."""
        ...

    async def drain(self) -> None:
        """Return when every line taken so far is written down."""
        ...


class RunReader(Protocol):
    """What an executor asks of the record."""

    async def task_run_state(self, task_run_id: str) -> tuple[StateRecord, int]:
        """(its state, version) of a task run. Raises NotFound."""
        ...

    async def flow_run_state(self, flow_run_id: str) -> tuple[StateRecord, int]:
        """(its state, version) of a flow run. Raises NotFound."""
        ...

    async def task_runs(self, flow_run_id: str) -> list[TaskRunRow]:
        """What has happened in this run so far."""
        ...

    async def cached(self, key: str, flow_run_id: str, map_index: int) -> list[tuple[StateRecord, ResultRecord | None]]:
        """The states, with their results, that task runs cached under `key` in other flow runs than this one.

        Those of the child with this map index come first, then the newest.
        """
        ...


class ResultStore(Protocol):
    """Where results lie that are too large for the record."""

    def of_run(self, flow_run_id: str, lease: int) -> ResultStore:
        """The store as the execution of this run, with this lease, uses it."""
        ...

    async def put(self, result: ResultRecord) -> ResultRecord:
        """What the record is to keep in place of `result`, which is safe when this returns. Raises what goes wrong."""
        ...

    async def value(self, result: ResultRecord) -> Any:
        """The value that `result` stands for. Raises SerializationError, saying why, if it cannot be had."""
        ...


class Orders(Protocol):
    """What others want of the runs that are executed here."""

    async def resumed(self, flow_run_id: str, task_run_id: str) -> tuple[StateRecord, int]:
        """Return, with the task run's state and version, when somebody has set a paused task run to go on."""
        ...

    async def moved_on(self, flow_run_id: str, version: int) -> None:
        """Return when the flow run is not at this version any more."""
        ...


class Owner(Protocol):
    """This process as an executor of the runs in one database."""

    @property
    def id(self) -> str:
        """What its runs carry."""
        ...

    async def is_gone(self, owner: str) -> bool:
        """Whether the process with the owner id `owner` has ended."""
        ...

    def close(self) -> None:
        """Be gone, as others see it."""
        ...


class Neighbours(Protocol):
    """The other processes that use the same database, and what they commit."""

    departed: asyncio.Event

    @property
    def names(self) -> list[str]:
        """Who is there, as far as is known."""
        ...

    async def open(self) -> None:
        """Listen, and be there."""
        ...

    def tell(self, hint: Hint) -> None:
        """Let the others know of a commit of this process, within some milliseconds."""
        ...

    async def run(self) -> None:
        """Publish what the others commit to those who listen here, until cancelled."""
        ...

    async def aclose(self) -> None:
        """Say good-bye."""
        ...
