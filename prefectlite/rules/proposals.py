"""What is asked of the orchestrator and what it answers."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from prefectlite.records import ResultRecord, StateRecord


class FlowRunCreation(msgspec.Struct, frozen=True):
    """The facts of a flow run that does not exist yet."""

    flow_id: str
    name: str
    parameters: dict[str, Any]
    context: dict[str, Any]
    labels: list[str]
    scheduled_start_time: int
    idempotency_key: str | None = None
    run_config: dict[str, Any] | None = None
    auto_scheduled: bool = False  # a schedule asks for it


class FlowRunProposal(msgspec.Struct, frozen=True, tag="flow_run"):
    """A flow run is to enter `state`; the state's id is the proposal's, so asking again gets the first answer again.

    `expected_version` is the version the proposer saw (None: whatever it is). `lease` is the fencing token of the process
    that executes the run; people and services send none. `claim` names the process that wants to execute it from now on;
    `takeover_from` names the former owner, of whom the proposer has made sure that it is gone. Paused with either of the two
    last says that no process waits with the paused run any more.
    """

    run_id: str
    state: StateRecord
    expected_version: int | None = None
    lease: int | None = None
    create: FlowRunCreation | None = None
    claim: str | None = None
    takeover_from: str | None = None
    restart: bool = False


class TaskRunProposal(msgspec.Struct, frozen=True, gc=False, tag="task_run"):
    """A task run, or a child of a mapped one, is to enter `state`. Version 0 is expected of one that does not exist yet."""

    run_id: str
    flow_run_id: str
    task_id: str
    map_index: int
    state: StateRecord
    expected_version: int | None = None
    lease: int | None = None
    name: str | None = None
    result: ResultRecord | None = None
    restart: bool = False
    cache_key: str | None = None  # later runs may look for this state under it
    waits: bool = False  # for a slot, if it is Running that is proposed and its task needs one; else it has begun already


Proposal = FlowRunProposal | TaskRunProposal


class Order(Enum):
    """What the executor of a run is told along with a verdict."""

    GO_ON = "go on"
    CANCEL = "cancel"
    PAUSE = "pause"  # begin nothing more


class Accept(msgspec.Struct, frozen=True, gc=False, tag="accept"):
    """The run is in the proposed state now, at `version`. `lease` is the token of a claim that was granted."""

    version: int
    order: Order = Order.GO_ON
    lease: int | None = None


class Replace(msgspec.Struct, frozen=True, tag="replace"):
    """The run is in `state` now, another one than proposed, at `version`. `lease` is as in Accept."""

    state: StateRecord
    version: int
    lease: int | None = None


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Not now: propose again at `until` (microseconds since 1970), or when told so."""

    until: int | None
    reason: str


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """No, and why; `code` is for programs: VERSION_CONFLICT, STALE_LEASE, FINISHED, NOT_FOUND, NOT_RUNNING, OWNED,
    PAUSED, NOT_PAUSED, CANCELLING; TAKEN where `run_id`, at `version`, is the run of this task already.
    """

    code: str
    reason: str
    version: int | None = None
    run_id: str | None = None


Verdict = Accept | Replace | Wait | Refuse
