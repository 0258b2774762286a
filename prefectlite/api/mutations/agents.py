"""Mutations of agents in other processes, and of what executors of another runtime tell: heartbeats, logs, task runs."""

from __future__ import annotations

from typing import Any

import graphene
import msgspec

from prefectlite.api.audit import never
from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID, DateTime
from prefectlite.api.state_json import json_object
from prefectlite.api.types import input_type, listed
from prefectlite.clock import to_micros
from prefectlite.errors import BadRequest
from prefectlite.ids import new_id
from prefectlite.records import LogRow
from prefectlite.repository.agents import AgentFacts
from prefectlite.roles import AGENTS, OPERATORS, RUNS
from prefectlite.version import __version__

MAX_LINES = 20_000


async def register_agent(context: Context, given: Payload) -> Payload:
    version = context.caller.core_version or __version__
    labels, config = list(given.get("labels") or ()), given.get("agent_config_id")
    token_id = context.caller.token_id or None
    if context.remit is not None:
        context.remit.check_labels(labels)
    facts = AgentFacts(given["type"], given.get("name") or "agent", version, labels, config, token_id)
    return {"id": await context.session.client.agents.register(facts)}


async def delete_agent(context: Context, given: Payload) -> Payload:
    await context.session.client.agents.delete("agent", given["agent_id"])
    return DONE


async def create_agent_config(context: Context, given: Payload) -> Payload:
    settings = json_object(given.get("settings") or {}, "settings")
    return {"id": await context.session.client.agents.save_config(given.get("name") or new_id(), settings)}


async def update_agent_config(context: Context, given: Payload) -> Payload:
    settings = None if given.get("settings") is None else json_object(given["settings"], "settings")
    await context.session.client.agents.change_config(given["agent_config_id"], given.get("name"), settings)
    return DONE


async def delete_agent_config(context: Context, given: Payload) -> Payload:
    await context.session.client.agents.delete("agent_config", given["agent_config_id"])
    return DONE


async def get_runs_in_queue(context: Context, given: Payload) -> Payload:
    caller, remit = context.caller, context.remit
    labels = given.get("labels") or ()
    if remit is not None:
        await remit.check_agent(caller.agent_id)
        remit.check_labels(labels)
    found = await context.session.client.agents.due_runs(
        caller.runtime, given.get("before"), labels, caller.agent_id, caller.bounds.projects
    )
    return {"flow_run_ids": found if remit is None else await remit.own(found)}


async def update_flow_run_heartbeat(context: Context, given: Payload) -> Payload:
    if context.remit is not None:
        await context.remit.check_runs([given["flow_run_id"]])
    await context.session.client.foreign.beat(given["flow_run_id"])
    return DONE


async def update_task_run_heartbeat(context: Context, given: Payload) -> Payload:
    return DONE  # a task run lives as long as its flow run does


async def get_or_create_task_run(context: Context, given: Payload) -> Payload:
    return {"id": (await _task_run(context, given))["id"]}


async def get_or_create_task_run_info(context: Context, given: Payload) -> Payload:
    return await _task_run(context, given)


async def _task_run(context: Context, given: Payload) -> Payload:
    index = -1 if given.get("map_index") is None else given["map_index"]
    if index < -1:
        raise BadRequest(f"map_index: {index} is below -1")
    if context.remit is not None:
        await context.remit.check_runs([given["flow_run_id"]])
    found = await context.session.client.foreign.task_run(given["flow_run_id"], given["task_id"], index)
    return msgspec.structs.asdict(found) | {"serialized_state": msgspec.json.decode(found.serialized_state)}


async def write_run_logs(context: Context, given: Payload) -> Payload:
    if len(given["logs"]) > MAX_LINES:
        raise BadRequest(f"logs: at most {MAX_LINES:,} lines at a time")
    now = context.session.clock.micros()
    lines = [_line(line, now) for line in given["logs"]]
    if context.remit is not None:
        lines = await context.remit.lines_of_own(lines)
    await context.session.client.foreign.write_logs(lines)
    return DONE


def _line(line: Payload, now: int) -> LogRow:
    timestamp, level = line.get("timestamp"), line.get("level")
    return LogRow(
        new_id(),
        line["flow_run_id"],
        line.get("task_run_id"),
        now if timestamp is None else to_micros(timestamp),
        "INFO" if level is None else level.value,
        line.get("name") or "prefect",
        line.get("message") or "",
    )


_levels = graphene.Enum("LogLevelEnum", [(name, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")])
_log: dict[str, Any] = {
    "flow_run_id": UUID(required=True),
    "task_run_id": UUID(),
    "timestamp": DateTime(),
    "message": text(),
    "name": text(),
    "level": graphene.InputField(_levels),
    "info": JSON(),
}
_run = {"flow_run_id": UUID(required=True)}
_place = {**_run, "task_id": UUID(required=True), "map_index": graphene.Int()}
_config = {"agent_config_id": UUID(required=True)}
FIELDS = {
    "register_agent": mutation(
        register_agent,
        {
            "tenant_id": UUID(),
            "type": text(required=True),
            "name": text(),
            "labels": listed(text),
            "agent_config_id": UUID(),
        },
        ID,
        "Make an agent known; the same one, started again, keeps its id.",
        needs=AGENTS,
    ),
    "delete_agent": mutation(delete_agent, {"agent_id": UUID(required=True)}, SUCCESS, "Forget an agent.", needs=OPERATORS),
    "create_agent_config": mutation(
        create_agent_config,
        {"tenant_id": UUID(), "name": text(), "settings": JSON()},
        ID,
        "Keep settings for agents.",
        needs=OPERATORS,
    ),
    "update_agent_config": mutation(
        update_agent_config,
        {**_config, "name": text(), "settings": JSON()},
        SUCCESS,
        "Change settings of agents.",
        needs=OPERATORS,
    ),
    "delete_agent_config": mutation(delete_agent_config, _config, SUCCESS, "Delete settings of agents.", needs=OPERATORS),
    "get_runs_in_queue": mutation(
        get_runs_in_queue,
        {"tenant_id": UUID(), "before": DateTime(), "labels": listed(text)},
        {"flow_run_ids": listed(text)},
        "The runs that an agent with these labels may begin.",
        needs=AGENTS,
        audited=never,
    ),
    "update_flow_run_heartbeat": mutation(
        update_flow_run_heartbeat, _run, SUCCESS, "Say that a run is alive.", needs=AGENTS, audited=never
    ),
    "update_task_run_heartbeat": mutation(
        update_task_run_heartbeat,
        {"task_run_id": UUID(required=True)},
        SUCCESS,
        "Kept for old clients; does nothing.",
        needs=AGENTS,
        audited=never,
    ),
    "get_or_create_task_run": mutation(
        get_or_create_task_run, _place, ID, "The run of a task in a flow run.", needs=AGENTS, audited=never
    ),
    "get_or_create_task_run_info": mutation(
        get_or_create_task_run_info,
        _place,
        {"id": UUID(), "version": graphene.Int(), "state": text(), "serialized_state": JSON()},
        "The run of a task in a flow run, and where it stands.",
        needs=AGENTS,
        audited=never,
    ),
    "write_run_logs": mutation(
        write_run_logs,
        {
            "logs": graphene.InputField(
                graphene.NonNull(listed(input_type("write_run_log_input", _log, "A line of a run's log.")))
            )
        },
        SUCCESS,
        "Add lines to the logs of runs; those of unknown runs are left out.",
        needs=RUNS,
        audited=never,
    ),
}
