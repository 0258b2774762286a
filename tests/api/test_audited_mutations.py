"""Every mutation there is: who uses one leaves a row in the audit log, whether it was done, failed or was refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from prefectlite import Runtime
from prefectlite.api.caller import Caller
from prefectlite.api.execution import Execution
from prefectlite.api.mutation import USERS
from prefectlite.api.requests import Request
from prefectlite.orchestrator.calls import DELETE_KEY, SET_KEY, KeyValue
from prefectlite.roles import Role
from tests.api.test_permissions import fields_of, query

pytestmark = pytest.mark.asyncio
#: What runs, and who executes them, tell of themselves, written down once more: a change here is a decision.
TOLD_BY_ANYBODY = {
    "get_runs_in_queue", "update_flow_run_heartbeat", "update_task_run_heartbeat", "get_or_create_task_run",
    "get_or_create_task_run_info", "write_run_logs", "executor_call",
}  # fmt: skip
#: What they tell, too, but people may say instead.
TOLD_BY_RUNS = {
    "set_flow_run_states", "set_task_run_states",
    "create_task_run_artifact", "update_task_run_artifact", "delete_task_run_artifact",
}  # fmt: skip
#: The header that an operator may send who would rather not be in the log.
AS_PREFECTS = "1.4.1"


@pytest.fixture
def api_database_url() -> str:
    return "sqlite://:memory:"  # the audit log is above databases


async def use(runtime: Runtime, text: str, caller: Caller, **variables: Any) -> None:
    execution = Execution(runtime.session)
    await execution.run(Request(text, variables, None), execution.budget(), caller)


async def rows(runtime: Runtime) -> list[tuple[Any, ...]]:
    """The rows since this was last asked."""
    await runtime.session.audit.settle()
    found = await runtime.session.database.read("SELECT actor, role, action, outcome FROM audit_log ORDER BY seq")

    async def work(tx: Any) -> None:
        await tx.execute("DELETE FROM audit_log")

    await runtime.session.database.write(work)
    return found


@pytest.mark.parametrize("core_version", [None, AS_PREFECTS])
@pytest.mark.parametrize("role", list(Role))
async def test_every_mutation(runtime: Runtime, role: Role, core_version: str | None) -> None:
    caller = Caller(core_version, role=role, actor="somebody", is_known=True, token_id="x")
    for field in fields_of("Mutation"):
        await use(runtime, query("Mutation", field), caller)
        found = await rows(runtime)
        is_refused = role not in USERS[field]
        is_told = field in TOLD_BY_ANYBODY or (field in TOLD_BY_RUNS and role in (Role.AGENT, Role.RUN))
        if is_told and not is_refused:
            assert found == [], field
            continue
        [(actor, named, action, outcome)] = found
        assert (actor, named, action) == ("somebody", str(role), field)
        assert (outcome == "refused") == is_refused, field
        assert outcome in ("done", "refused") or outcome.startswith("failed: "), field


async def test_each_of_several_has_its_row(runtime: Runtime) -> None:
    fields = " ".join(f'm{n}: create_project(input: {{name: "{n % 3}"}}) {{ id }}' for n in range(5))
    await use(runtime, f"mutation {{ {fields} }}", Caller(actor="a", is_known=True))
    assert [outcome for *_, outcome in await rows(runtime)] == ["done"] * 3 + ["failed: BAD_USER_INPUT"] * 2


async def test_the_way_of_executors_is_none_around_it(runtime: Runtime) -> None:
    call = "mutation ($i: executor_call_input!) { executor_call(input: $i) { answer } }"
    operator = Caller(role=Role.OPERATOR, actor="o", is_known=True, token_id="x")
    for one, question in ((SET_KEY, KeyValue("k", "1")), (DELETE_KEY, "k")):
        await use(runtime, call, operator, i={"call": one.name, "question": msgspec.to_builtins(question)})
    actions = [(action, outcome) for _, _, action, outcome in await rows(runtime)]
    assert actions == [("set_key_value", "done"), ("delete_key_value", "done")]
