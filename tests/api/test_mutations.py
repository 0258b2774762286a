"""Changing things through GraphQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from prefectlite import Flow, Runtime

Ask = Any
NOBODY = "00000000-0000-7000-8000-000000000000"
SERIALIZED = {
    "name": "sent",
    "parameters": [],
    "tasks": [{"slug": "one", "name": "one"}, {"slug": "two", "name": "two"}],
    "edges": [{"upstream": "one", "downstream": "two"}],
}
CREATE_RUN = "mutation m($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }"
SET_FLOW_RUN = (
    "mutation m($input: set_flow_run_states_input!) { set_flow_run_states(input: $input) { states { id status message } } }"
)
SET_TASK_RUN = (
    "mutation m($input: set_task_run_states_input!) { set_task_run_states(input: $input) { states { id status message } } }"
)


async def errors(http: httpx.AsyncClient, query: str, **variables: Any) -> list[Any]:
    response = await http.post("/graphql", json={"query": query, "variables": variables})
    found: list[Any] = response.json()["errors"]
    return found


async def flow_id(ask: Ask, name: str = "doubling") -> str:
    found = await ask("query q($n: String) { flow(where: {name: {_eq: $n}}) { id } }", n=name)
    result: str = found["flow"][0]["id"]
    return result


async def new_run(ask: Ask, **given: Any) -> str:
    made = await ask(CREATE_RUN, input={"flow_id": await flow_id(ask), **given})
    result: str = made["create_flow_run"]["id"]
    return result


@pytest.mark.asyncio
async def test_create_project(http: httpx.AsyncClient, ask: Ask) -> None:
    query = "mutation m($input: create_project_input!) { create_project(input: $input) { id } }"
    made = (await ask(query, input={"name": "p", "description": "d"}))["create_project"]["id"]
    found = await ask('{ project(where: {name: {_eq: "p"}}) { id description } }')
    assert found == {"project": [{"id": made, "description": "d"}]}
    [error] = await errors(http, query, input={"name": "p"})
    assert (error["message"], error["path"]) == ("Uniqueness violation.", ["create_project"])


@pytest.mark.asyncio
async def test_set_project_retention(http: httpx.AsyncClient, ask: Ask) -> None:
    project = (await ask('mutation { create_project(input: {name: "p"}) { id } }'))["create_project"]["id"]
    query = "mutation m($input: set_project_retention_input!) { set_project_retention(input: $input) { success } }"
    kept = '{ project(where: {name: {_eq: "p"}}) { retention_days log_retention_days } }'
    for days, log_days in ((7, None), (0, 3), (None, None)):
        given = {"project_id": project, "days": days, "log_days": log_days}
        assert await ask(query, input=given) == {"set_project_retention": {"success": True}}
        assert await ask(kept) == {"project": [{"retention_days": days, "log_retention_days": log_days}]}
    [error] = await errors(http, query, input={"project_id": project, "days": -1})
    assert "cannot be negative" in error["message"]
    [error] = await errors(http, query, input={"project_id": NOBODY, "days": 1})
    assert error["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.asyncio
@pytest.mark.parametrize("as_text", [False, True])
async def test_create_flow(http: httpx.AsyncClient, ask: Ask, as_text: bool) -> None:
    query = "mutation m($input: create_flow_input!) { f: create_flow(input: $input) { the: id } }"
    project = (await ask('mutation { create_project(input: {name: "p"}) { id } }'))["create_project"]["id"]
    serialized = msgspec.json.encode(SERIALIZED).decode() if as_text else SERIALIZED
    made = await ask(query, input={"serialized_flow": serialized, "project_id": project, "set_schedule_active": False})
    found = await ask(
        "query q($id: uuid!) { flow_by_pk(id: $id) { name project_id tasks { slug } edges { key } } }", id=made["f"]["the"]
    )
    assert found["flow_by_pk"]["project_id"] == project
    assert sorted(task["slug"] for task in found["flow_by_pk"]["tasks"]) == ["one", "two"]
    assert len(found["flow_by_pk"]["edges"]) == 1
    [error] = await errors(http, query, input={"serialized_flow": serialized, "project_id": NOBODY})
    assert error["extensions"]["code"] == "NOT_FOUND"
    [error] = await errors(http, query, input={"serialized_flow": 7, "project_id": project})
    assert error["message"] == "serialized_flow: an object is expected, got a number"


@pytest.mark.asyncio
async def test_create_flow_run(http: httpx.AsyncClient, ask: Ask) -> None:
    run = await new_run(
        ask,
        parameters={"size": 5},
        labels=["b", "a"],
        context={"x": [1]},
        scheduled_start_time="2031-05-06T07:08:09.000001Z",
        flow_run_name="by hand",
        idempotency_key="k",
        run_config=None,
    )
    found = await ask(
        "query q($id: uuid!) { flow_run_by_pk(id: $id) { name parameters labels context state scheduled_start_time } }",
        id=run,
    )
    moment = datetime(2031, 5, 6, 7, 8, 9, 1, tzinfo=UTC)
    assert found["flow_run_by_pk"] == {
        "name": "by hand",
        "parameters": {"size": 5},
        "labels": ["a", "b"],
        "context": {"x": [1]},
        "state": "Scheduled",
        "scheduled_start_time": moment.isoformat(timespec="microseconds"),
    }
    assert await new_run(ask, idempotency_key="k") == run
    [error] = await errors(http, CREATE_RUN, input={"flow_id": await flow_id(ask), "parameters": {"nope": 1}})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "nope" in error["message"]
    [error] = await errors(http, CREATE_RUN, input={"flow_id": await flow_id(ask), "parameters": [1]})
    assert error["message"] == "parameters: an object is expected, got a list"
    [error] = await errors(http, CREATE_RUN, input={"flow_id": NOBODY})
    assert error["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.asyncio
async def test_cancel_flow_run(http: httpx.AsyncClient, ask: Ask) -> None:
    run = await new_run(ask)
    query = "mutation m($input: cancel_flow_run_input!) { cancel_flow_run(input: $input) { state } }"
    assert await ask(query, input={"flow_run_id": run}) == {"cancel_flow_run": {"state": "Cancelled"}}
    assert await ask(query, input={"flow_run_id": run}) == {"cancel_flow_run": {"state": "Cancelled"}}
    [error] = await errors(http, query, input={"flow_run_id": NOBODY})
    assert error["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.asyncio
async def test_set_flow_run_states(http: httpx.AsyncClient, ask: Ask) -> None:
    one, two = await new_run(ask), await new_run(ask)
    states = [
        {"flow_run_id": one, "state": {"type": "Failed", "message": "no"}},
        {"flow_run_id": two, "state": '{"type": "Success"}', "version": 1},
    ]
    answer = await ask(SET_FLOW_RUN, input={"states": states})
    assert answer["set_flow_run_states"]["states"] == [
        {"id": one, "status": "SUCCESS", "message": None},
        {"id": two, "status": "SUCCESS", "message": None},
    ]
    found = await ask("{ flow_run(order_by: {id: asc}) { state state_message } }")
    assert found["flow_run"] == [{"state": "Failed", "state_message": "no"}, {"state": "Success", "state_message": None}]


@pytest.mark.asyncio
async def test_one_refusal_does_not_stop_the_others(http: httpx.AsyncClient, ask: Ask) -> None:
    run = await new_run(ask)
    states = [
        {"flow_run_id": NOBODY, "state": {"type": "Success"}},
        {"flow_run_id": run, "state": {"type": "Nonsense"}},
        {"flow_run_id": run, "state": {"type": "Failed"}},
    ]
    [error] = await errors(http, SET_FLOW_RUN, input={"states": states})
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert (await ask("{ flow_run { state } }"))["flow_run"] == [{"state": "Failed"}]


@pytest.mark.asyncio
async def test_set_task_run_states(http: httpx.AsyncClient, ask: Ask, runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    run = await flows[0].run()
    task_run = await ask(
        "query q($w: task_run_bool_exp) { task_run(where: $w, limit: 1) { id } }", w={"flow_run_id": {"_eq": run.id}}
    )
    task_run_id = task_run["task_run"][0]["id"]
    [error] = await errors(
        http,
        SET_TASK_RUN,
        input={"states": [{"task_run_id": task_run_id, "state": {"type": "Running"}, "flow_run_version": 1}]},
    )
    assert error["extensions"]["code"] == "TRANSITION_REFUSED"
    [error] = await errors(http, SET_TASK_RUN, input={"states": [{"task_run_id": NOBODY, "state": {"type": "Running"}}]})
    assert error["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.asyncio
async def test_states_have_a_most(http: httpx.AsyncClient) -> None:
    states = [{"flow_run_id": NOBODY, "state": {"type": "Success"}}] * 1_001
    [error] = await errors(http, SET_FLOW_RUN, input={"states": states})
    assert "at most 1,000" in error["message"]


@pytest.mark.asyncio
async def test_input_that_does_not_fit_the_schema(http: httpx.AsyncClient) -> None:
    response = await http.post("/graphql", json={"query": CREATE_RUN, "variables": {"input": {"labels": [1], "nope": 2}}})
    assert response.status_code == 400
    assert {error["extensions"]["code"] for error in response.json()["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
