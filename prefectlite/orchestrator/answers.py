"""Answers to the calls of executors in other processes, from the ports of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from prefectlite.errors import BadRequest
from prefectlite.orchestrator.calls import (
    CACHED,
    PROPOSE,
    TASK_RUN_STATE,
    TASK_RUNS,
    WRITE_LINES,
    Cached,
    CacheKey,
    Call,
    Proposals,
    Verdicts,
)  # fmt: skip
from prefectlite.orchestrator.protocols import Orchestrator, RunLog, RunReader
from prefectlite.records import LogRow

Answer = Callable[[Any], Awaitable[Any]]


class Answers:
    """What this process can answer; `more` is what it can besides the engine's ports."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        run_log: RunLog,
        reader: RunReader,
        more: dict[Call[Any, Any], Answer] | None = None,
    ) -> None:
        self._orchestrator, self._run_log, self._reader = orchestrator, run_log, reader
        ports: dict[Call[Any, Any], Answer] = {
            PROPOSE: self._propose,
            WRITE_LINES: self._write_lines,
            TASK_RUNS: reader.task_runs,
            TASK_RUN_STATE: reader.task_run_state,
            CACHED: self._cached,
        }
        self._known = {call.name: (call, answer) for call, answer in {**ports, **(more or {})}.items()}

    def call_named(self, name: str) -> Call[Any, Any]:
        """The call of this name. Raises BadRequest if there is none."""
        if name not in self._known:
            raise BadRequest(f"There is no call {name!r} here: the executor that asks is of another version")
        return self._known[name][0]

    async def answer(self, call: Call[Any, Any], question: Any) -> Any:
        """The answer to a question of the call's type."""
        return await self._known[call.name][1](question)

    async def _propose(self, sent: Proposals) -> Verdicts:
        answers = [self._orchestrator.propose(proposal, again=sent.again) for proposal in sent.proposals]
        verdicts = await asyncio.gather(*answers, return_exceptions=True)
        for failed in (one for one in verdicts if isinstance(one, BaseException)):
            raise failed
        return cast("Verdicts", verdicts)

    async def _write_lines(self, lines: list[LogRow]) -> None:
        for line in lines:
            self._run_log.write(line)
        await self._run_log.drain()

    async def _cached(self, asked: CacheKey) -> Cached:
        return await self._reader.cached(asked.key, asked.flow_run_id, asked.map_index)
