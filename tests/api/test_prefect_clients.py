"""Clients and agents of Prefect 1.x, call by call, against the API."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from prefectlite import Runtime
from tests.api.prefect_client import AGENT, EDGES, TASKS, PrefectClient, document, packed

pytestmark = pytest.mark.asyncio
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest_asyncio.fixture
async def client(http: httpx.AsyncClient) -> PrefectClient:
    return PrefectClient(http)


async def agent(client: PrefectClient, http: httpx.AsyncClient, *labels: str, name: str = "agent") -> PrefectClient:
    """A client that is an agent with these labels."""
    made = await client.do("register_agent", "id", type="LocalAgent", name=name, labels=list(labels), tenant_id=None)
    return PrefectClient(http, **{AGENT: made["id"]})


async def queue(agent: PrefectClient, *labels: str, seconds: float = 10) -> list[str]:
    """The runs that an agent with these labels is offered."""
    before = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    found = await agent.do("get_runs_in_queue", "flow_run_ids", before=before, labels=list(labels), tenant_id=None)
    runs: list[str] = found["flow_run_ids"]
    return runs


async def row(client: PrefectClient, table: str, run_id: str, fields: str) -> Any:
    query = f"query($id: uuid!) {{ {table}_by_pk(id: $id) {{ {fields} }} }}"
    return (await client.ask(query, {"id": run_id}))[f"{table}_by_pk"]


async def running(client: PrefectClient) -> tuple[str, dict[str, str]]:
    """The id of a run that runs, and those of its task runs by slug."""
    run_id = await client.run_of(await client.registered())
    await client.set_state("flow_run", run_id, "Submitted", state=client.state("Scheduled"))
    await client.set_state("flow_run", run_id, "Running")
    found = await row(client, "flow_run", run_id, "task_runs(where: {map_index: {_eq: -1}}) { id task { slug } }")
    return run_id, {one["task"]["slug"]: one["id"] for one in found["task_runs"]}


# -- registration ---------------------------------------------------------------------------------------------------------


async def test_the_tenant_is_there(client: PrefectClient) -> None:
    found = await client.ask("query { tenant { id slug name } hello api { backend mode } }")
    assert found["tenant"][0]["slug"] == "default"
    assert found["api"] == {"backend": "SERVER", "mode": "normal"}
    assert (await client.do("create_tenant", "id", name="default", slug="default"))["id"] == found["tenant"][0]["id"]
    assert "There is one tenant" in await client.refusal("create_tenant", "id", name="b", slug="b")


async def test_a_flow_registered_in_one_piece(client: PrefectClient) -> None:
    flow_id = await client.registered()
    fields = "name version runtime core_version archived serialized_flow storage run_config parameters environment"
    tasks = "slug name max_retries retry_delay timeout trigger tags mapped is_root_task is_terminal_task is_reference_task"
    found = await row(client, "flow", flow_id, f"{fields} tasks(order_by: {{slug: asc}}) {{ {tasks} }}")
    sent = document()
    assert found["serialized_flow"] == sent
    assert [found[key] for key in ("storage", "run_config", "parameters")] == [
        sent[key] for key in ("storage", "run_config", "parameters")
    ]
    assert [found[key] for key in ("name", "version", "runtime", "core_version", "archived", "environment")] == [
        *("sums", 1, "prefect", "1.4.1", False, None)
    ]
    twice = next(task for task in found["tasks"] if task["slug"] == "twice-1")
    assert twice == {
        **{"slug": "twice-1", "name": "twice", "max_retries": 2, "retry_delay": "00:01:30", "timeout": "00:00:05"},
        **{"trigger": "all_successful", "tags": ["a", "b"], "mapped": True},
        **{"is_root_task": False, "is_terminal_task": False, "is_reference_task": False},
    }
    ends = {task["slug"]: (task["is_root_task"], task["is_terminal_task"]) for task in found["tasks"]}
    assert ends == {"numbers-1": (True, False), "total-1": (False, True), "twice-1": (False, False)}


async def test_a_flow_registered_in_parts_is_the_same(client: PrefectClient) -> None:
    whole = await client.registered()
    bare = {key: value for key, value in document("parts").items() if key not in ("tasks", "edges")}
    parts = await client.registered(bare, set_schedule_active=False)
    for _ in range(2):  # a client that gives a key again does so
        await client.do("register_tasks", flow_id=parts, serialized_tasks=TASKS[:2])
        await client.do("register_tasks", flow_id=parts, serialized_tasks=TASKS[2:])
        await client.do("register_tasks", flow_id=parts, serialized_tasks=[])
        await client.do("register_edges", flow_id=parts, serialized_edges=EDGES)
    fields = (
        "tasks(order_by: {slug: asc}) { slug name mapped max_retries is_root_task is_terminal_task is_reference_task }"
        " edges(order_by: {key: asc}) { key mapped upstream_task { slug } downstream_task { slug } }"
    )
    assert await row(client, "flow", parts, fields) == await row(client, "flow", whole, fields)


async def test_an_edge_to_nowhere_registers_nothing(client: PrefectClient) -> None:
    bare = {key: value for key, value in document().items() if key not in ("tasks", "edges")}
    flow_id = await client.registered(bare)
    await client.do("register_tasks", flow_id=flow_id, serialized_tasks=TASKS[:2])
    message = await client.refusal("register_edges", flow_id=flow_id, serialized_edges=EDGES)
    assert message.startswith("Edges could not be registered - some edges reference tasks that do not exist")
    assert (await row(client, "flow", flow_id, "edges { id }"))["edges"] == []


async def test_versions_and_keys(client: PrefectClient) -> None:
    first = await client.registered(idempotency_key="k")
    assert await client.registered(idempotency_key="k") == first
    second = await client.registered(idempotency_key="other")
    third = await client.registered()
    assert len({first, second, third, await client.registered()}) == 4
    found = await client.ask('query { flow(where: {name: {_eq: "sums"}}, order_by: {version: asc}) { version archived } }')
    assert [(flow["version"], flow["archived"]) for flow in found["flow"]] == [(1, True), (2, True), (3, True), (4, False)]


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        ("%%%", "is not base64"),
        ("aGVsbG8=", "is not base64 of gzip of JSON"),
        (packed([1]), "an object is expected"),
        (packed({"tasks": []}), "the flow has no name"),
        (packed({"name": "x", "tasks": [{"name": "t"}]}), "a task has no slug"),
        (packed({"name": "x", "tasks": [{"slug": "t", "timeout": "soon"}]}), "is no number of seconds"),
        (packed({"name": "x", "edges": [{"upstream_task": {"slug": "t"}}]}), "the downstream end of an edge has no slug"),
        (packed("x" * 50_000_001), "more than 50,000,000 bytes"),
    ],
    ids=["text", "no gzip", "list", "no name", "no slug", "no seconds", "no end", "too large"],
)
async def test_what_is_no_flow_is_refused_by_name(client: PrefectClient, flow: str, message: str) -> None:
    given = {"serialized_flow": flow, "project_id": await client.project()}
    assert message in await client.refusal("create_flow_from_compressed_string", "id", **given)
    assert (await client.ask('query { flow(where: {runtime: {_eq: "prefect"}}) { id } }'))["flow"] == []


async def test_an_unknown_project(client: PrefectClient) -> None:
    assert "not found" in await client.refusal(
        "create_flow_from_compressed_string", "id", serialized_flow=packed(document()), project_id=NOBODY
    )


async def test_archiving_cancels_what_waits(client: PrefectClient) -> None:
    flow_id = await client.registered()
    run_id = await client.run_of(flow_id)
    await client.do("archive_flow", flow_id=flow_id)
    assert await row(client, "flow", flow_id, "archived is_schedule_active") == {
        "archived": True,
        "is_schedule_active": False,
    }
    found = await row(client, "flow_run", run_id, "state state_message")
    assert found == {"state": "Cancelled", "state_message": f"Flow {flow_id} was archived."}
    assert "is archived" in await client.refusal("create_flow_run", "id", flow_id=flow_id)


# -- what a run takes from its flow -----------------------------------------------------------------------------------------


async def test_labels_and_parameters_of_a_run(client: PrefectClient) -> None:
    flow_id = await client.registered()
    group = (await row(client, "flow", flow_id, "flow_group_id version_group_id"))["flow_group_id"]

    async def made(**given: Any) -> tuple[list[str], dict[str, Any]]:
        found = await row(client, "flow_run", await client.run_of(flow_id, **given), "labels parameters")
        return found["labels"], found["parameters"]

    assert await made() == (["own"], {"n": 0})  # a default that is 0 is a default
    assert await made(run_config={"type": "UniversalRun", "labels": ["config"]}, parameters={"n": 2}) == (
        ["config"],
        {"n": 2},
    )
    await client.do("set_flow_group_labels", flow_group_id=group, labels=[])
    await client.do("set_flow_group_default_parameters", flow_group_id=group, parameters={"n": 5})
    assert await made() == ([], {"n": 5})
    assert (await made(labels=["b", "a", "b"]))[0] == ["a", "b"]
    assert "has no parameter m" in await client.refusal("create_flow_run", "id", flow_id=flow_id, parameters={"m": 1})


# -- agents ---------------------------------------------------------------------------------------------------------------


async def test_an_agent_that_is_started_again_keeps_its_id(client: PrefectClient, http: httpx.AsyncClient) -> None:
    first, again, other = [(await agent(client, http, *labels)).headers[AGENT] for labels in (["a"], ["a"], ["b"])]
    assert first == again != other
    config = (await client.do("create_agent_config", "id", name="c", settings={"x": 1}))["id"]
    assert "Uniqueness violation." in await client.refusal("create_agent_config", "id", name="c")
    found = await client.do("register_agent", "id", type="LocalAgent", labels=[], agent_config_id=config)
    assert (await row(client, "agent", found["id"], "agent_config { settings }"))["agent_config"] == {"settings": {"x": 1}}


async def test_agents_are_offered_the_runs_that_fit_their_labels(client: PrefectClient, http: httpx.AsyncClient) -> None:
    flow_id = await client.registered()
    labels: dict[str, list[str]] = {"none": [], "a": ["a"], "ab": ["a", "b"]}
    runs = {name: await client.run_of(flow_id, labels=wanted) for name, wanted in labels.items()}
    later = await client.run_of(flow_id, labels=["a"], scheduled_start_time="2999-01-01T00:00:00+00:00")
    one = await agent(client, http, "a", "b")
    assert set(await queue(one, "a", "b")) == {runs["a"], runs["ab"]}
    assert await queue(one, "a") == [runs["a"]]
    assert await queue(one) == [runs["none"]]
    assert await queue(one, "c") == []
    assert later in await queue(one, "a", seconds=40_000_000_000)
    assert (await row(client, "agent", one.headers[AGENT], "last_queried"))["last_queried"] is not None


async def test_runs_of_our_own_flows_are_not_offered(client: PrefectClient, http: httpx.AsyncClient) -> None:
    flow = (await client.ask('query { flow(where: {name: {_eq: "doubling"}}) { id } }'))["flow"][0]["id"]
    await client.run_of(flow)
    assert await queue(await agent(client, http)) == []


async def test_of_two_agents_one_gets_the_run(client: PrefectClient, http: httpx.AsyncClient) -> None:
    run_id = await client.run_of(await client.registered())
    agents = [await agent(client, http, "own", name=name) for name in ("a", "b")]
    given = {"flow_run_id": run_id, "state": client.state("Submitted", state=client.state("Scheduled"))}
    query = "mutation($input: set_flow_run_states_input!) { set_flow_run_states(input: $input) { states { status } } }"
    answers = await asyncio.gather(*(one.post(query, {"input": {"states": [given]}}) for one in agents))
    messages = [answer["errors"][0]["message"] for answer in answers if "errors" in answer]
    assert messages == ["State update failed: this run has already been submitted."]
    found = await row(client, "flow_run", run_id, "state agent_id heartbeat")
    winner = next(one for one, answer in zip(agents, answers, strict=True) if "errors" not in answer)
    assert (found["state"], found["agent_id"]) == ("Submitted", winner.headers[AGENT])
    assert found["heartbeat"] is not None
    assert await queue(winner, "own") == []


# -- runs -----------------------------------------------------------------------------------------------------------------


async def test_states_are_kept_as_they_are_sent(client: PrefectClient) -> None:
    run_id, tasks = await running(client)
    info = "id version state serialized_state"
    found = await client.do("get_or_create_task_run_info", info, flow_run_id=run_id, task_id=await _task_id(client, run_id))
    assert (found["id"], found["state"], found["version"]) == (tasks["numbers-1"], "Pending", 1)
    assert found["serialized_state"]["type"] == "Pending"
    sent = client.state("Success", cached_inputs={"x": {"type": "Result"}}, unknown="kept")
    await client.set_state("task_run", found["id"], "Running")
    await client.set_state("task_run", found["id"], "Success", **sent)
    kept = await row(client, "task_run", found["id"], "state version serialized_state states { serialized_state }")
    assert (kept["state"], kept["version"], kept["serialized_state"]) == ("Success", 3, sent)
    assert [one["serialized_state"] for one in kept["states"]][1:] == [client.state("Running"), sent]


async def _task_id(client: PrefectClient, run_id: str, slug: str = "numbers-1") -> str:
    found = await client.ask(
        "query($run: uuid, $slug: String) { task_run(where: {flow_run_id: {_eq: $run}, task: {slug: {_eq: $slug}}})"
        " { task { id } } }",
        {"run": run_id, "slug": slug},
    )
    task_id: str = found["task_run"][0]["task"]["id"]
    return task_id


async def test_a_child_is_made_once_however_many_ask(client: PrefectClient) -> None:
    run_id, _ = await running(client)
    place = {"flow_run_id": run_id, "task_id": await _task_id(client, run_id, "twice-1"), "map_index": 3}
    asked = [client.do("get_or_create_task_run_info", "id version state", **place) for _ in range(5)]
    made = await asyncio.gather(*asked)
    assert made == [made[0]] * 5
    assert (made[0]["state"], made[0]["version"]) == ("Pending", 1)
    wrong = {**place, "task_id": NOBODY}
    assert "not found" in await client.refusal("get_or_create_task_run_info", "id", **wrong)
    assert "not found" in await client.refusal("get_or_create_task_run", "id", **{**place, "flow_run_id": NOBODY})
    assert "below -1" in await client.refusal("get_or_create_task_run", "id", **{**place, "map_index": -2})


async def test_tasks_do_not_run_while_their_flow_does_not(client: PrefectClient) -> None:
    run_id, tasks = await running(client)
    await client.do("cancel_flow_run", "state", flow_run_id=run_id)
    message = await client.state_refused("task_run", tasks["numbers-1"], "Running")
    assert message.startswith("State update failed for task run ID")
    assert "not in a running state" in message
    await client.set_state("flow_run", run_id, "Cancelled")
    found = await client.ask("query($id: uuid) { task_run(where: {flow_run_id: {_eq: $id}}) { state } }", {"id": run_id})
    assert {one["state"] for one in found["task_run"]} == {"Cancelled"}


async def test_what_has_ended_begins_again_only_when_it_is_restarted(client: PrefectClient) -> None:
    run_id, tasks = await running(client)
    await client.set_state("task_run", tasks["numbers-1"], "Failed")
    await client.set_state("flow_run", run_id, "Failed")
    assert "State update failed" in await client.state_refused("flow_run", run_id, "Running")
    assert "State update failed" in await client.state_refused("task_run", tasks["numbers-1"], "Success")
    await client.set_state("task_run", tasks["numbers-1"], "Pending")
    await client.set_state("flow_run", run_id, "Scheduled")
    assert (await row(client, "flow_run", run_id, "state"))["state"] == "Scheduled"


async def test_rounds_of_a_loop(client: PrefectClient) -> None:
    _, tasks = await running(client)
    for _ in range(2):
        await client.set_state("task_run", tasks["numbers-1"], "Running")
        await client.set_state("task_run", tasks["numbers-1"], "Looped", loop_count=1)
    await client.set_state("task_run", tasks["numbers-1"], "Success")


async def test_a_run_whose_task_waits_to_be_retried_is_offered_when_it_is_due(
    client: PrefectClient, http: httpx.AsyncClient
) -> None:
    run_id, tasks = await running(client)
    one = await agent(client, http, "own")
    assert await queue(one, "own") == []
    due = (datetime.now(UTC) + timedelta(minutes=20)).isoformat()
    await client.set_state("task_run", tasks["numbers-1"], "Retrying", start_time=due, run_count=2)
    assert await queue(one, "own") == []
    assert await queue(one, "own", seconds=1_300) == [run_id]


async def test_cancelling_before_it_runs_ends_it_at_once(client: PrefectClient) -> None:
    run_id = await client.run_of(await client.registered())
    await client.set_state("flow_run", run_id, "Submitted", state=client.state("Scheduled"))
    assert (await client.do("cancel_flow_run", "state", flow_run_id=run_id))["state"] == "Cancelled"
    found = await row(client, "flow_run", run_id, "task_runs { state }")
    assert {one["state"] for one in found["task_runs"]} == {"Cancelled"}


async def test_heartbeats_are_answered_whatever_they_name(client: PrefectClient) -> None:
    run_id, tasks = await running(client)
    before = (await row(client, "flow_run", run_id, "heartbeat"))["heartbeat"]
    for each in (run_id, NOBODY):
        assert (await client.do("update_flow_run_heartbeat", flow_run_id=each))["success"] is True
    assert (await client.do("update_task_run_heartbeat", task_run_id=tasks["numbers-1"]))["success"] is True
    assert (await row(client, "flow_run", run_id, "heartbeat"))["heartbeat"] > before


async def test_logs_keep_their_order_and_those_of_nobody_are_left_out(client: PrefectClient) -> None:
    run_id, tasks = await running(client)
    lines = [
        {"flow_run_id": run_id, "task_run_id": tasks["numbers-1"], "message": f"line {n}", "level": "WARNING", "name": "x"}
        for n in range(3)
    ]
    lines += [{"flow_run_id": NOBODY, "message": "nobody's"}, {"flow_run_id": run_id, "message": "plain"}]
    await client.do("write_run_logs", logs=lines)
    found = await row(client, "flow_run", run_id, "logs(order_by: {seq: asc}) { message level name task_run_id }")
    assert [(line["message"], line["level"]) for line in found["logs"]] == [
        *((f"line {n}", "WARNING") for n in range(3)),
        ("plain", "INFO"),
    ]


async def test_three_megabytes_of_log_lines_come_at_once(client: PrefectClient) -> None:
    run_id, _ = await running(client)
    lines = [
        {"flow_run_id": run_id, "message": f'"{n}"' + "x" * 3_000, "level": "INFO", "name": "prefect", "info": {"n": n}}
        for n in range(1_000)
    ]
    assert await client.do("write_run_logs", logs=lines) == {"success": True}
    found = await client.ask("query { log_aggregate { aggregate { count min { message } max { level } } } }")
    aggregate = found["log_aggregate"]["aggregate"]
    assert aggregate == {"count": 1_000, "min": {"message": lines[0]["message"]}, "max": {"level": "INFO"}}


async def test_artifacts(client: PrefectClient) -> None:
    _, tasks = await running(client)
    given = {"task_run_id": tasks["numbers-1"], "kind": "markdown", "data": {"markdown": "# hi"}}
    made = (await client.do("create_task_run_artifact", "id", **given))["id"]
    await client.do("update_task_run_artifact", task_run_artifact_id=made, data={"markdown": "# ho"})
    found = await row(client, "task_run_artifact", made, "kind data")
    assert found == {"kind": "markdown", "data": {"markdown": "# ho"}}
    await client.do("delete_task_run_artifact", task_run_artifact_id=made)
    assert "not found" in await client.refusal("delete_task_run_artifact", task_run_artifact_id=made)
    assert "not found" in await client.refusal("create_task_run_artifact", "id", **{**given, "task_run_id": NOBODY})
    large = {**given, "data": "x" * 1_000_001}
    assert "at most 1,000,000 bytes" in await client.refusal("create_task_run_artifact", "id", **large)


async def test_groups_projects_and_names_can_be_changed(client: PrefectClient, runtime: Runtime) -> None:
    flow_id = await client.registered()
    run_id = await client.run_of(flow_id)
    group = (await row(client, "flow", flow_id, "flow_group_id"))["flow_group_id"]
    other = (await client.do("create_project", "id", name="other"))["id"]
    await client.do("set_project_name", "id", project_id=other, name="another")
    await client.do("set_project_description", "id", project_id=other, description="d")
    assert "Uniqueness violation." in await client.refusal("set_project_name", "id", project_id=other, name="p")
    await client.do("update_flow_project", "id", flow_id=flow_id, project_id=other)
    await client.do("disable_flow_heartbeat", flow_id=flow_id)
    await client.do("enable_flow_lazarus_process", flow_id=flow_id)
    await client.do("set_flow_group_description", flow_group_id=group, description="# doc")
    await client.do("set_flow_group_run_config", flow_group_id=group, run_config={"type": "LocalRun"})
    await client.do("set_flow_run_name", flow_run_id=run_id, name="my run")
    await client.do("set_flow_run_labels", flow_run_id=run_id, labels=["z", "y"])
    fields = "project { name description } flow_group { description settings run_config } flow_runs { name labels }"
    assert await row(client, "flow", flow_id, fields) == {
        "project": {"name": "another", "description": "d"},
        "flow_group": {
            "description": "# doc",
            "settings": {"heartbeat_enabled": False, "lazarus_enabled": True},
            "run_config": {"type": "LocalRun"},
        },
        "flow_runs": [{"name": "my run", "labels": ["y", "z"]}],
    }
    await client.do("delete_project", project_id=other)
    assert await row(client, "flow", flow_id, "id") is None
    assert await row(client, "flow_run", run_id, "id") is None
    assert runtime.session is not None
    assert await runtime.session.database.read("SELECT 1 FROM flow_group WHERE id = $1", (group,)) == []
    for name in ("delete_flow", "archive_flow", "set_schedule_active"):
        assert "not found" in await client.refusal(name, flow_id=NOBODY)


async def test_facts_of_one_task_run(client: PrefectClient) -> None:
    run_id, tasks = await running(client)
    query = "query($id: UUID!) { get_task_run_info(task_run_id: $id) { id version state serialized_state } }"
    found = (await client.ask(query, {"id": tasks["numbers-1"]}))["get_task_run_info"]
    assert (found["id"], found["version"], found["state"]) == (tasks["numbers-1"], 1, "Pending")
    assert found["serialized_state"]["type"] == "Pending"
    task_id = await _task_id(client, run_id, "twice-1")
    children = "query($id: UUID!) { mapped_children(task_run_id: $id) { min_start_time max_end_time state_counts } }"
    none = {"min_start_time": None, "max_end_time": None, "state_counts": {}}
    assert (await client.ask(children, {"id": tasks["twice-1"]}))["mapped_children"] == none
    for index in range(3):
        place = {"flow_run_id": run_id, "task_id": task_id, "map_index": index}
        made = await client.do("get_or_create_task_run_info", "id", **place)
        await client.set_state("task_run", made["id"], "Running")
        if index:
            await client.set_state("task_run", made["id"], "Success")
    summed = (await client.ask(children, {"id": tasks["twice-1"]}))["mapped_children"]
    assert summed["state_counts"] == {"Running": 1, "Success": 2}
    rows = await client.ask(
        "query($run: uuid) { task_run(where: {flow_run_id: {_eq: $run}, map_index: {_gte: 0}}) { start_time end_time } }",
        {"run": run_id},
    )
    assert summed["min_start_time"] == min(row["start_time"] for row in rows["task_run"])
    assert summed["max_end_time"] == max(row["end_time"] for row in rows["task_run"] if row["end_time"])
