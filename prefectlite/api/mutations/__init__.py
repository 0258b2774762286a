"""The Mutation type: each field hands its input to the session's client, which knows the door."""

from __future__ import annotations

from prefectlite.api.mutation import USERS
from prefectlite.api.mutations import (
    agents,
    artifacts,
    automations,
    executors,
    flows,
    groups,
    hooks,
    key_values,
    limits,
    many_runs,
    messages,
    pauses,
    projects,
    runs,
    schedules,
    secrets,
    states,
    tokens,
)
from prefectlite.api.types import object_type

_FIELDS = {
    **projects.FIELDS,
    **flows.FIELDS,
    **groups.FIELDS,
    **hooks.FIELDS,
    **automations.FIELDS,
    **messages.FIELDS,
    **runs.FIELDS,
    **many_runs.FIELDS,
    **pauses.FIELDS,
    **states.FIELDS,
    **schedules.FIELDS,
    **agents.FIELDS,
    **executors.FIELDS,
    **artifacts.FIELDS,
    **key_values.FIELDS,
    **limits.FIELDS,
    **secrets.FIELDS,
    **tokens.FIELDS,
}
if missing := set(_FIELDS) - set(USERS):
    raise LookupError(f"Nothing says who may use {', '.join(sorted(missing))}")
Mutation = object_type("Mutation", _FIELDS, "What can be done.")
