"""Builds the flow of a sketch out of the names that users have, and tells how its run went in the reference's words."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from tests.properties.sketches import MOST_CALLS, Node, Reaction, Sketch, Source, number_of, shown, step_of, value_of

PAST = datetime(2001, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
ERRORS = {"ValueError": ValueError, "KeyError": KeyError, "Exception": Exception}


class Built:
    """The flow of a sketch, and what its tasks and handlers noted while it ran.

    `api` has what is imported: Flow, task, mapped, flatten, context, signals, states, triggers, ENDRUN and executor.
    """

    def __init__(self, sketch: Sketch, api: Any, name: str = "random") -> None:
        self.sketch, self.api = sketch, api
        self.calls: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        self.seen: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
        self.on_event: Callable[[], None] = lambda: None  # called whenever a task or a handler is
        self.flow_seen: list[tuple[str, str]] = []
        self.reacted: dict[tuple[int, int, int], int] = defaultdict(int)
        self.tasks: list[Any] = []
        with api.Flow(name, executor=api.executor(sketch.workers, sketch.coroutines), state_handlers=[self._note]) as flow:
            for number, node in enumerate(sketch.nodes):
                self.tasks.append(self._task(number, node))
        self.flow = flow
        if sketch.reference:
            flow.set_reference_tasks([self.tasks[number] for number in sketch.reference])

    def arguments(self) -> dict[str, Any]:
        """What `flow.run` is called with."""
        states = {
            made: self._given(node.given)
            for made, node in zip(self.tasks, self.sketch.nodes)  # noqa: B905
            if node.given is not None
        }
        return {"task_states": states, **({"context": {"resume": True}} if self.sketch.resume else {})}

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _task(self, number: int, node: Node) -> Any:
        async def on_the_loop(**inputs: Any) -> Any:
            await asyncio.sleep(0)
            value = self._behave(number, node, inputs)
            await asyncio.sleep(0)
            return value

        def in_a_thread(**inputs: Any) -> Any:
            return self._behave(number, node, inputs)

        made = self.api.task(
            on_the_loop if node.is_async and self.api.awaits else in_a_thread,
            name=f"t{number}",
            trigger=self._trigger(node.trigger),
            skip_on_upstream_skip=node.skips,
            state_handlers=[self._recorder(number)]
            + [self._handler(number, place, reaction) for place, reaction in enumerate(node.reactions)],
            **({"max_retries": node.max_retries, "retry_delay": timedelta(0)} if node.max_retries else {}),
            **({"retry_on": [ERRORS[name] for name in node.retry_on]} if node.retry_on and node.max_retries else {}),
            **({"executor": self.api.executor(node.workers, None)} if node.workers else {}),
        )
        keyed = {source.key: self._value(source) for source in node.sources if source.key is not None}
        return made.bind(upstream_tasks=[self._value(source) for source in node.sources if source.key is None], **keyed)

    def _trigger(self, kind: list[Any]) -> Any:
        trigger = getattr(self.api.triggers, kind[0])
        return trigger(*kind[1:]) if len(kind) > 1 else trigger

    def _value(self, source: Source) -> Any:
        value = source.value
        if source.kind == "node":
            value = self.tasks[source.value]
        elif source.kind == "dict":
            value = {f"k{place}": self._value(item) for place, item in enumerate(source.value)}
        elif source.kind != "constant":
            value = {"list": list, "tuple": tuple}[source.kind](self._value(item) for item in source.value)
        if source.flattened:
            value = self.api.flatten(value)
        return self.api.mapped(value) if source.mapped else value

    def _behave(self, number: int, node: Node, inputs: dict[str, Any]) -> Any:
        index, context = self._index(), self.api.context
        round_number, attempt = context.get("task_loop_count") or 1, context.get("task_run_count")
        self.calls[number, index].append((round_number, attempt))
        self.on_event()
        told = number_of(number, index, round_number, attempt, context.get("task_loop_result"), inputs)
        step = step_of(node, index, round_number, attempt) if len(self.calls[number, index]) <= MOST_CALLS else ["number"]
        if step[0] == "error":
            raise ERRORS[step[1]](told)
        if step[0] == "endrun":
            raise self.api.ENDRUN(self._made(step[1], "the end", told))
        if step[0] == "signal" and (step[1] != "PAUSE" or not context.get("resume")):
            raise self._signal(step[1], f"signal {told}", {"result": told} if step[2] else {})
        return value_of(step, told, inputs)

    def _index(self) -> int:
        index = self.api.context.get("map_index")
        return -1 if index is None else int(index)

    def _signal(self, name: str, message: str, fields: dict[str, Any]) -> BaseException:
        if name in ("RETRY", "PAUSE"):
            fields["start_time"] = PAST
        signal: BaseException = getattr(self.api.signals, name)(message, **fields)
        return signal

    def _made(self, name: str, message: str, result: Any) -> Any:
        fields = {"start_time": PAST} if name in ("Retrying", "Paused") else {}
        return getattr(self.api.states, name)(message, result=result, **fields)

    def _given(self, data: Any) -> Any:
        if data is None:
            return None
        name, message, detail = data
        if name == "Mapped":
            return self.api.states.Mapped(message, map_states=[self._given(child) for child in detail])
        if name == "Retrying":
            return self.api.states.Retrying(message, start_time=PAST, run_count=detail)
        return getattr(self.api.states, name)(message, result=detail)

    # -- handlers -----------------------------------------------------------------------------------------------------

    def _note(self, flow: Any, old: Any, new: Any) -> None:
        self.flow_seen.append((type(old).__name__, type(new).__name__))

    def _recorder(self, number: int) -> Any:
        def record(task: Any, old: Any, new: Any) -> None:
            self.seen[number, self._index()].append((type(old).__name__, type(new).__name__))
            self.on_event()

        return record

    def _handler(self, number: int, place: int, reaction: Reaction) -> Any:
        def react(task: Any, old: Any, new: Any) -> Any:
            who = number, self._index(), place
            if type(new).__name__ != reaction.on or self.reacted[who] >= reaction.times:
                return None
            self.reacted[who] += 1
            kind, *rest = reaction.action
            if kind == "error":
                raise RuntimeError("handler")
            if kind == "endrun":
                raise self.api.ENDRUN(self._made(rest[0], "handled", 7))
            if kind == "signal":
                raise self._signal(rest[0], "handled", {"result": 7} if rest[1] else {})
            if kind == "return":
                return self._made(rest[0], "handled", 7)
            return new if kind == "same" else None

        async def react_on_the_loop(task: Any, old: Any, new: Any) -> Any:
            return react(task, old, new)

        return react_on_the_loop if self.api.awaits and place % 2 else react

    # -- how it went --------------------------------------------------------------------------------------------------

    def outcome(self, final: Any) -> dict[str, Any]:
        """The states of all tasks, and what was called and seen, as plain data."""
        return {
            "flow": [type(final).__name__, final.message],
            "flow handlers": [list(change) for change in self.flow_seen],
            "tasks": [told_state(final.result[made]) for made in self.tasks],
            "calls": _by_unit({who: [list(call) for call in calls] for who, calls in self.calls.items()}),
            "handlers": _by_unit({who: [list(change) for change in seen] for who, seen in self.seen.items()}),
        }


def told_state(state: Any) -> list[Any]:
    """A state as plain data: its name, message and result, or its children."""
    if state is None:
        return ["None", None, None]
    message = state.message
    if "children" in vars(state):  # of the reference
        children, name = state.children, state.name
    else:
        children, name = getattr(state, "map_states", None), type(state).__name__
    if children is not None:
        return [name, message, [told_state(child) for child in children]]
    return [name, message, shown(state.result)]


def told_evaluation(evaluation: Any) -> dict[str, Any]:
    """What the reference says, in the same form."""
    ledgers = evaluation.ledgers.items()
    return {
        "flow": [evaluation.final.name, evaluation.final.message],
        "flow handlers": [["Scheduled", "Running"], ["Running", evaluation.final.name]],
        "tasks": [told_state(end) for end in evaluation.ends],
        "calls": _by_unit({who: [list(call) for call in ledger.calls] for who, ledger in ledgers if ledger.calls}),
        "handlers": _by_unit({who: [list(seen) for seen in ledger.seen] for who, ledger in ledgers if ledger.seen}),
    }


def _by_unit(told: dict[Any, Any]) -> dict[str, Any]:
    return {f"{number}" if index < 0 else f"{number}[{index}]": what for (number, index), what in sorted(told.items())}


def own_api() -> Any:
    """The names of this package."""
    import prefectlite
    from prefectlite import executors

    return SimpleNamespace(
        Flow=prefectlite.Flow, task=prefectlite.task, mapped=prefectlite.mapped, flatten=prefectlite.flatten,
        context=prefectlite.context, signals=prefectlite.signals, states=prefectlite.states, triggers=prefectlite.triggers,
        ENDRUN=prefectlite.signals.ENDRUN, awaits=True,
        executor=lambda workers, coroutines: executors.LocalExecutor(workers, coroutines) if workers or coroutines else None,
    )  # fmt: skip
