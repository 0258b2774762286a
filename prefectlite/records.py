"""Rows of the record and the shapes that travel between the floors: frozen, typed, without behaviour.

Times are integer microseconds since 1970 in UTC, as the database keeps them (`clock.to_micros`). Ids are UUID strings.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from prefectlite import shown, states
from prefectlite.clock import from_micros, to_micros
from prefectlite.masks import masked, masked_within
from prefectlite.states import State


class StateRecord(msgspec.Struct, frozen=True, gc=False):
    """A state as the record keeps it: everything but the result."""

    id: str
    name: str
    timestamp: int
    message: str | None = None
    start_time: int | None = None
    details: str | None = None  # JSON object of what is special to the class: run_count, n_map_states, context, …

    @property
    def is_finished(self) -> bool:
        return self.name in states.FINISHED


#: The member of a state's details, the first one, that holds the document which a client of Prefect's server has sent.
SENT = "serialized_state"
#: How the encodings end of values that lie in the result store: `data` is the name there.
ELSEWHERE = "@file"


class ResultRecord(msgspec.Struct, frozen=True, gc=False):
    """A value as the record keeps it; `data` is None where `encoding` says it all."""

    encoding: str
    data: bytes | None

    @property
    def is_elsewhere(self) -> bool:
        return self.encoding.endswith(ELSEWHERE)


class RunLease(msgspec.Struct, frozen=True):
    """One execution of a flow run: whose it is, and its number."""

    flow_run_id: str
    owner: str
    epoch: int


class FlowRow(msgspec.Struct, frozen=True):
    """One version of one flow, with the ids of its tasks by slug."""

    id: str
    name: str
    version: int
    project_id: str | None
    digest: str
    storage: dict[str, Any] | None
    task_ids: dict[str, str]
    source: dict[str, Any] | None = None  # where it was, if it was only run from a script
    runtime: str = "prefectlite"  # what executes its runs; the other one is "prefect"
    is_new: bool = False  # whether it was made by the registration that gives this row


class FlowRunRow(msgspec.Struct, frozen=True):
    """One run of a flow."""

    id: str
    flow_id: str
    name: str
    parameters: dict[str, Any]
    context: dict[str, Any]
    scheduled_start_time: int
    version: int
    state: str
    state_message: str | None
    state_start_time: int | None
    owner: str | None
    lease_epoch: int
    auto_scheduled: int = 0  # 1: a schedule asked for it
    labels: list[str] = []  # which an agent must have
    run_config: dict[str, Any] | None = None  # where and how it is to be executed

    @property
    def is_finished(self) -> bool:
        return self.state in states.FINISHED


class TaskRunRow(msgspec.Struct, frozen=True):
    """One run of a task, or of one child of a mapped task (`map_index` ≥ 0)."""

    id: str
    task_id: str
    map_index: int
    version: int
    state: StateRecord
    result: ResultRecord | None


class LogRow(msgspec.Struct, frozen=True, gc=False):
    """One line of a run's log."""

    id: str
    flow_run_id: str
    task_run_id: str | None
    timestamp: int
    level: str
    name: str
    message: str


def record_state(state: State, state_id: str, now: int) -> StateRecord:
    """The record of `state`, entered at `now`."""
    cls = type(state)
    if not cls.details and not state.context:
        return StateRecord(state_id, cls.__name__, now, _text(state.message))
    start = getattr(state, "start_time", None)
    details = {name: value for name in cls.details if (value := getattr(state, name)) is not None}
    details.pop("start_time", None)
    if state.context:
        details["context"] = masked_within(state.context)
    text = _details(details) if details else None
    return StateRecord(state_id, cls.__name__, now, _text(state.message), to_micros(start) if start else None, text)


def sent_state(state: State, sent: dict[str, Any], state_id: str, now: int) -> StateRecord:
    """The record of `state`, which a client of Prefect's server described by the document `sent`: that is kept as it is."""
    record = record_state(state, state_id, now)
    details = {SENT: sent, **(msgspec.json.decode(record.details) if record.details else {})}
    return msgspec.structs.replace(record, details=msgspec.json.encode(details).decode())


def restore_state(record: StateRecord) -> State:
    """The state that `record` was made of, without its result."""
    fields: dict[str, Any] = msgspec.json.decode(record.details) if record.details else {}
    if record.start_time is not None:
        fields["start_time"] = from_micros(record.start_time)
    return _restored(record.name, record.message, fields)


def _restored(name: str, message: str | None, fields: dict[str, Any]) -> State:
    cls = states.BY_NAME.get(name, State)
    given = {detail: fields[detail] for detail in cls.details if detail in fields}
    if isinstance(inner := given.get("state"), dict):
        given["state"] = _restored(inner["type"], inner["message"], inner)
    for detail in ("start_time", "cached_result_expiration"):
        if isinstance(moment := given.get(detail), str):
            given[detail] = datetime.fromisoformat(moment)
    state = cls(message, **given)
    state.context = fields.get("context") or {}  # and nothing of what is current where it is read
    return state


def context_of(details: str | None) -> dict[str, Any]:
    """The context of a state with these details."""
    found: dict[str, Any] = msgspec.json.decode(details).get("context") or {} if details else {}
    return found


def _text(message: Any) -> str | None:
    """`message` as a database takes it: users give exceptions, too, and file names that are not UTF-8."""
    if message is None:
        return None
    return masked(shown.text(message) if isinstance(message, str) else shown.told(message, str))


def _details(details: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(details, enc_hook=_as_json).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):  # a context of the user's that JSON cannot hold as it is
        if "context" in details:
            details = {**details, "context": shown.as_json(details["context"])}
        return msgspec.json.encode(details, enc_hook=_as_json).decode()


def _as_json(value: Any) -> Any:
    return _described(value) if isinstance(value, State) else shown.told(value)


def _described(state: State) -> dict[str, Any]:
    """`state` inside of another one: as Prefect's clients write it, who get to read it."""
    record = record_state(state, "", 0)
    start = {} if record.start_time is None else {"start_time": from_micros(record.start_time).isoformat()}
    details = msgspec.json.decode(record.details) if record.details else {}
    return {"type": record.name, "message": record.message, **start, **details}
