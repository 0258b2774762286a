"""The rescuer: takes up the runs of registered flows whose process is gone, where they stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from prefectlite.repository import runs
from prefectlite.services.agent import Agent
from prefectlite.session import Session

_logger = logging.getLogger("prefectlite.rescuer")


async def rescue(session: Session, agent: Agent, begin: Callable[[Any], None]) -> int:
    """Hand every interrupted run to `begin`; how many there were."""
    rescued = 0
    for run_id, owner in await runs.owned_runs(session.database):
        if await asyncio.to_thread(session.owner.is_gone, owner):
            _logger.warning("flow run %s was interrupted and is taken up where it stopped", run_id)
            begin(agent.execute(run_id, takeover_from=owner))
            rescued += 1
    return rescued
