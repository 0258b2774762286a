"""Figures for monitoring."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.test_mutations import Ask, new_run

pytestmark = pytest.mark.asyncio


async def figures(http: httpx.AsyncClient) -> dict[str, float]:
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {f"{one.name}{''.join(one.labels.values())}": one.value for family in families for one in family.samples}


async def test_runs_are_counted_by_state(http: httpx.AsyncClient, ask: Ask) -> None:
    before = await figures(http)
    assert before["prefectlite_executing_flow_runs"] == before["prefectlite_log_lines_waiting"] == 0
    assert before["prefectlite_database_bytes"] > 10_000
    assert 0 <= before["prefectlite_loop_lag_seconds"] < 5
    assert not [name for name in before if name.startswith("prefectlite_flow_runs")]
    cancelled = await new_run(ask)
    await new_run(ask)
    await ask("mutation m($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }", id=cancelled)
    after = await figures(http)
    assert (after["prefectlite_flow_runsScheduled"], after["prefectlite_flow_runsCancelled"]) == (1, 1)


async def test_other_sites_get_nothing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/metrics", headers={"host": "evil.example"})).status_code == 421
