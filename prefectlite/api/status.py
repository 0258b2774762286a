"""How the server is: the root field `status`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

import graphene
from graphql import GraphQLResolveInfo

from prefectlite.api.context import Context
from prefectlite.api.scalars import bigint, timestamptz, uuid
from prefectlite.api.types import from_row, listed, object_type
from prefectlite.clock import from_micros
from prefectlite.repository.agents import alive
from prefectlite.repository.dialect import SQLITE
from prefectlite.repository.executors import owners
from prefectlite.repository.upkeep import total_bytes
from prefectlite.version import __version__


class LoopLag:
    """How late the event loop is. It is measured while somebody asks, and for some seconds after."""

    EVERY, SPAN, PATIENCE = 0.05, 5.0, 10.0

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=round(self.SPAN / self.EVERY))
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    async def seconds(self) -> float:
        """The worst of the last seconds; for who asks first, of the next moment."""
        self._until = time.monotonic() + self.PATIENCE
        if self._timer is None:
            self._late.clear()
            self._wait()
        while not self._late:  # noqa: ASYNC110 - once, and the timer needs no event for it
            await asyncio.sleep(self.EVERY)
        return max(self._late)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.EVERY, self._look, time.monotonic() + self.EVERY)

    def _look(self, due: float) -> None:
        now = time.monotonic()
        self._late.append(max(0.0, now - due))
        if now < self._until:
            self._wait()
        else:
            self._timer = None


#: One for each event loop that is asked about.
_lags: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLag] = WeakKeyDictionary()


async def _status(_root: Any, info: GraphQLResolveInfo) -> dict[str, Any]:
    context: Context = info.context
    session = context.session
    lag = _lags.setdefault(asyncio.get_running_loop(), LoopLag())
    began = session.began_at
    return {
        "version": __version__,
        "started": _moment(began),
        "uptime": (session.clock.micros() - began) / 1_000_000,
        "loop_lag": await lag.seconds(),
        "proposals_waiting": session.orchestrator.waiting,
        "log_lines_waiting": session.run_log.waiting,
        "executing": session.running,
        "database": "sqlite" if session.database.dialect is SQLITE else "postgresql",
        "database_bytes": await total_bytes(session.database),
        "agents_alive": await alive(session.database, session.silent_since),
        "owners": [
            {
                "owner": one.owner,
                "is_here": one.owner == session.owner_id,
                "flow_runs": one.flow_runs,
                "agent_id": one.agent_id,
                "last_heard": _moment(one.last_heard) if one.last_heard else None,
            }
            for one in await owners(session.database)
        ],
    }


def _moment(micros: int) -> str:
    return from_micros(micros).isoformat(timespec="microseconds")


_owner = object_type(
    "run_owner",
    {
        "owner": graphene.String(required=True),
        "is_here": graphene.Boolean(required=True, description="Whether it is the server that answers."),
        "flow_runs": graphene.Int(required=True, description="Those that it has and that are not finished."),
        "agent_id": uuid(description="The agent it works for, if it reaches the record through a server."),
        "last_heard": timestamptz(description="When such a one was last heard of."),
    },
    "Who holds the lease of flow runs.",
    from_row,
)
_status_type = object_type(
    "status",
    {
        "version": graphene.String(required=True),
        "started": timestamptz(required=True),
        "uptime": graphene.Float(required=True, description="Seconds."),
        "loop_lag": graphene.Float(required=True, description="Seconds: the most of the last five, if somebody asked."),
        "proposals_waiting": graphene.Int(required=True, description="Changes of states that are not decided yet."),
        "log_lines_waiting": graphene.Int(required=True, description="Lines of logs that are not written yet."),
        "executing": graphene.Int(required=True, description="Flow runs that this server executes."),
        "database": graphene.String(required=True, description="sqlite or postgresql"),
        "database_bytes": bigint(required=True),
        "agents_alive": graphene.Int(required=True, description="Agents elsewhere that have asked for work just now."),
        "owners": graphene.Field(graphene.NonNull(listed(_owner))),
    },
    "How the server that answers is, and who executes flow runs.",
    from_row,
)
#: The root field.
STATUS = graphene.Field(graphene.NonNull(_status_type), resolver=_status)
