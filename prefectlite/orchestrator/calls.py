"""What an executor in another process asks for, as messages: the engine's ports, and what an agent needs besides.

An executor of this package needs the answers of the same version, so these messages are no interface for others.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import msgspec

from prefectlite.records import FlowRow, FlowRunRow, LogRow, ResultRecord, RunLease, StateRecord, TaskRunRow
from prefectlite.rules.proposals import Accept, FlowRunProposal, Refuse, Replace, TaskRunProposal, Wait

Q = TypeVar("Q")
A = TypeVar("A")


class Call(msgspec.Struct, Generic[Q, A], frozen=True):
    """A kind of question; `question` and `answer` are the types of what is sent."""

    name: str
    question: Any
    answer: Any


class Ask(Protocol):
    """Asks whoever has the record."""

    async def __call__(self, call: Call[Q, A], question: Q) -> A:
        """The answer. Raises StoreUnavailable as long as there is none, and the error that the other side raised."""
        ...


class Proposals(msgspec.Struct, frozen=True):
    """Proposals to be decided together; `again` if they were sent before, and the answer was lost."""

    proposals: list[FlowRunProposal | TaskRunProposal]
    again: bool = False


class CacheKey(msgspec.Struct, frozen=True):
    """What `RunReader.cached` is asked."""

    key: str
    flow_run_id: str
    map_index: int


class Executor(msgspec.Struct, frozen=True):
    """A process that executes runs: the owner id that its runs carry, and the agent's id and labels."""

    id: str
    agent_id: str
    labels: list[str]


class KeyValue(msgspec.Struct, frozen=True):
    """What a key of the key-value store is to have: a value, as JSON."""

    key: str
    value: str


class ResultOffer(msgspec.Struct, frozen=True):
    """A large result, of so many bytes, of a run that the executor executes with this lease."""

    executor_id: str
    flow_run_id: str
    lease: int
    size: int


Verdicts = list[Accept | Replace | Wait | Refuse]


class Decided(msgspec.Struct, frozen=True):
    """The verdicts on proposals, and the tags and labels that concurrency limits are on, as they are known there."""

    verdicts: Verdicts
    tags: list[str] = []
    labels: list[str] = []


Cached = list[tuple[StateRecord, ResultRecord | None]]

PROPOSE: Call[Proposals, Decided] = Call("propose", Proposals, Decided)
WRITE_LINES: Call[list[LogRow], None] = Call("write_lines", list[LogRow], None)
TASK_RUNS: Call[str, list[TaskRunRow]] = Call("task_runs", str, list[TaskRunRow])
TASK_RUN_STATE: Call[str, tuple[StateRecord, int]] = Call("task_run_state", str, tuple[StateRecord, int])
FLOW_RUN_STATE: Call[str, tuple[StateRecord, int]] = Call("flow_run_state", str, tuple[StateRecord, int])
CACHED: Call[CacheKey, Cached] = Call("cached", CacheKey, Cached)
#: How often it was said that slots of concurrency limits may be free, once that is more often than the asker knows.
SLOT_NEWS: Call[int, int] = Call("slot_news", int, int)

#: The runs that an executor may begin, (id, due time) each; that it is alive is noted.
SCHEDULED_RUNS: Call[Executor, list[tuple[str, int]]] = Call("scheduled_runs", Executor, list[tuple[str, int]])
FLOW_RUN: Call[str, FlowRunRow] = Call("flow_run", str, FlowRunRow)
FLOW: Call[str, FlowRow] = Call("flow", str, FlowRow)
#: Whether a run that is due may begin now, as the schedule of its flow says about overlap.
MAY_BEGIN: Call[str, bool] = Call("may_begin", str, bool)
#: The value of the secret of this name, for the code of a run.
SECRET: Call[str, Any] = Call("secret", str, Any)
#: Whether there is a place for a large result besides the record.
KEEPS_RESULT: Call[ResultOffer, bool] = Call("keeps_result", ResultOffer, bool)
#: The key-value store, for the code of a run. Values travel as JSON, which holds what no other notation here does.
SET_KEY: Call[KeyValue, str] = Call("set_key", KeyValue, str)
GET_KEY: Call[str, str] = Call("get_key", str, str)
DELETE_KEY: Call[str, bool] = Call("delete_key", str, bool)
LIST_KEYS: Call[None, list[str]] = Call("list_keys", None, list[str])
#: What the code of a run may show to the server while that is executed in a process of its own; None where nothing need be.
RUN_TOKEN: Call[RunLease, str | None] = Call("run_token", RunLease, str | None)
#: An executor ends in good order.
LEAVE: Call[Executor, None] = Call("leave", Executor, None)
