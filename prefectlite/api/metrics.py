"""What a monitoring system wants to know, in the text format of Prometheus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from prefectlite.api.caller import caller_of
from prefectlite.lazily import lazily
from prefectlite.repository.runs import counts_by_state
from prefectlite.repository.upkeep import total_bytes
from prefectlite.roles import VIEWERS
from prefectlite.version import __version__

if TYPE_CHECKING:
    import prometheus_client as prometheus_client

    from prefectlite.session import Session
else:  # only those pay for it who are monitored
    prometheus_client = lazily("prometheus_client")


class Metrics:
    """Answers for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, request: Request) -> Response:
        """The figures of this moment. Runs by state are those of the whole database, the others this process's."""
        if caller_of(request).role not in VIEWERS:
            return PlainTextResponse("This role may not read the metrics\n", 403)
        session, registry = self._session, prometheus_client.CollectorRegistry()

        def gauge(name: str, doc: str, value: float) -> None:
            prometheus_client.Gauge(f"prefectlite_{name}", doc, registry=registry).set(value)

        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.Info("prefectlite", "What answers here", registry=registry).info({"version": __version__})
        gauge("loop_lag_seconds", "How long the event loop takes to come back to what is ready", await _loop_lag())
        gauge("executing_flow_runs", "Flow runs that this process executes", session.running)
        gauge("log_lines_waiting", "Lines of logs that are not written yet", session.run_log.waiting)
        gauge("database_bytes", "Size of the database", await total_bytes(session.database))
        by_state = prometheus_client.Gauge("prefectlite_flow_runs", "Flow runs by state", ["state"], registry=registry)
        for state, count in await counts_by_state(session.database):
            by_state.labels(state).set(count)
        body = prometheus_client.generate_latest(registry)
        return Response(body, media_type=prometheus_client.CONTENT_TYPE_LATEST, headers={"cache-control": "no-store"})


async def _loop_lag() -> float:
    begun = time.perf_counter()
    await asyncio.sleep(0)
    return time.perf_counter() - begun
