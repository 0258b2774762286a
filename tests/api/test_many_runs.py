"""Changing runs by condition through GraphQL."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.test_mutations import errors, new_run

pytestmark = pytest.mark.asyncio
Ask = Any
ANSWER = "matched changed refused more refusals { flow_run_id name reason }"
CANCEL = f"mutation($where: flow_run_bool_exp!) {{ cancel_flow_runs(input: {{where: $where}}) {{ {ANSWER} }} }}"


async def test_cancel_restart_delete(ask: Ask) -> None:
    ids = [await new_run(ask) for _ in range(3)]
    where = {"id": {"_in": ids}, "flow": {"name": {"_eq": "doubling"}}}
    told = {"matched": 3, "changed": 3, "refused": 0, "more": False, "refusals": []}
    dry = CANCEL.replace("$where}", "$where, dry_run: true}")
    assert await ask(dry, where=where) == {"cancel_flow_runs": {**told, "changed": 0}}
    assert await ask(CANCEL, where=where) == {"cancel_flow_runs": told}
    restart = f"mutation($where: flow_run_bool_exp!) {{ restart_flow_runs(input: {{where: $where}}) {{ {ANSWER} }} }}"
    answer = (await ask(restart, where=where))["restart_flow_runs"]
    assert (answer["refused"], len(answer["refusals"])) == (3, 3)
    assert {one["flow_run_id"] for one in answer["refusals"]} == set(ids)
    delete = 'mutation { delete_flow_runs(input: {where: {state: {_eq: "Cancelled"}}, limit: 2}) { changed more } }'
    assert await ask(delete) == {"delete_flow_runs": {"changed": 2, "more": True}}
    assert await ask(delete) == {"delete_flow_runs": {"changed": 1, "more": False}}


async def test_a_forgotten_variable_does_not_mean_all(http: httpx.AsyncClient, ask: Ask) -> None:
    await new_run(ask)
    query = "mutation($id: uuid) { delete_flow_runs(input: {where: {id: {_eq: $id}}}) { changed } }"
    [error] = await errors(http, query)
    assert error["message"].startswith("where: this is true of every flow run")
