"""Answers to the calls of executors in other processes, from the ports of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from prefectlite.errors import BadRequest
from prefectlite.orchestrator.calls import (
    CACHED,
    FLOW_RUN_STATE,
    PROPOSE,
    SLOT_NEWS,
    TASK_RUN_STATE,
    TASK_RUNS,
    WRITE_LINES,
    Cached,
    CacheKey,
    Call,
    Decided,
    Proposals,
    Verdicts,
)
from prefectlite.orchestrator.protocols import Orchestrator, RunLog, RunReader
from prefectlite.records import LogRow

Q = TypeVar("Q")
A = TypeVar("A")
Answer = Callable[[Any], Awaitable[Any]]


class Answers:
    """What this process can answer: the engine's ports, and what is added."""

    def __init__(self, orchestrator: Orchestrator, run_log: RunLog, reader: RunReader) -> None:
        self._orchestrator, self._run_log, self._reader = orchestrator, run_log, reader
        self._known: dict[str, tuple[Call[Any, Any], Answer]] = {}
        self.add(PROPOSE, self._propose)
        self.add(WRITE_LINES, self._write_lines)
        self.add(TASK_RUNS, reader.task_runs)
        self.add(TASK_RUN_STATE, reader.task_run_state)
        self.add(FLOW_RUN_STATE, reader.flow_run_state)
        self.add(CACHED, self._cached)
        self.add(SLOT_NEWS, orchestrator.queue.news)

    def add(self, call: Call[Q, A], answer: Callable[[Q], Awaitable[A]]) -> None:
        """Answer this call, too."""
        self._known[call.name] = call, answer

    @property
    def names(self) -> list[str]:
        """The names of all calls that are answered."""
        return list(self._known)

    def call_named(self, name: str) -> Call[Any, Any]:
        """The call of this name. Raises BadRequest if there is none."""
        if name not in self._known:
            raise BadRequest(f"There is no call {name!r} here: the executor that asks is of another version")
        return self._known[name][0]

    async def answer(self, call: Call[Any, Any], question: Any) -> Any:
        """The answer to a question of the call's type."""
        return await self._known[call.name][1](question)

    async def _propose(self, sent: Proposals) -> Decided:
        answers = [self._orchestrator.propose(proposal, again=sent.again) for proposal in sent.proposals]
        verdicts = await asyncio.gather(*answers, return_exceptions=True)
        for failed in (one for one in verdicts if isinstance(one, BaseException)):
            raise failed
        queue = self._orchestrator.queue
        return Decided(cast("Verdicts", verdicts), sorted(queue.tags), sorted(queue.labels))

    async def _write_lines(self, lines: list[LogRow]) -> None:
        for line in lines:
            self._run_log.write(line)
        await self._run_log.drain()

    async def _cached(self, asked: CacheKey) -> Cached:
        return await self._reader.cached(asked.key, asked.flow_run_id, asked.map_index)
