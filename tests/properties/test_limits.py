"""However flows are nested and whatever their tasks do, no more of them execute at once than their executors allow."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from prefectlite import Flow, Runtime, task
from prefectlite.executors import LocalExecutor
from tests.properties.profiles import examples

limits = st.one_of(st.none(), st.integers(1, 3))


@dataclass
class Group:
    """A mapped task: how many children, of which kind, how many of them at once, and whether each runs a flow itself."""

    width: int
    is_async: bool
    limit: int | None
    retries: int
    nested: list[Group] | None


@dataclass
class Limited:
    """A flow of mapped tasks with limits of its own."""

    groups: list[Group]
    workers: int | None
    coroutines: int | None


def groups(nested: Any) -> Any:
    return st.lists(
        st.builds(Group, st.integers(1, 6), st.booleans(), limits, st.integers(0, 1), nested), min_size=1, max_size=3
    )


flows = st.builds(Limited, groups(st.one_of(st.none(), groups(st.none()))), limits, limits)


class Gauge:
    """How much is at work at once, by who counts it: the most there ever was."""

    def __init__(self) -> None:
        self._lock, self._now, self.most = threading.Lock(), Counter[Any](), Counter[Any]()
        self.calls = 0

    def change(self, by: int, *keys: Any) -> None:
        with self._lock:
            self.calls += by > 0
            for key in keys:
                self._now[key] += by
                self.most[key] = max(self.most[key], self._now[key])


def build(limited: Limited, gauge: Gauge, bounds: dict[Any, int | None]) -> Flow:
    """The flow, whose tasks tell `gauge` when they begin and end, and for each key the `bounds` that hold for it."""
    executor = LocalExecutor(limited.workers, limited.coroutines)
    with Flow("limited", executor=executor) as flow:
        for number, group in enumerate(limited.groups):
            _task(group, number, flow, executor, gauge, bounds)
    return flow


def _task(
    group: Group, number: int, flow: Flow, executor: LocalExecutor, gauge: Gauge, bounds: dict[Any, int | None]
) -> None:
    inner = None if group.nested is None else build(Limited(group.nested, 2, 2), gauge, {})
    tried: Counter[int] = Counter()
    one_by_one, kind = executor.one_by_one, "async" if group.is_async else "plain"
    keys = [(id(flow), "all" if one_by_one else kind), (id(flow), number)]
    bounds[keys[0]] = executor.coroutines if group.is_async else executor.workers
    bounds[keys[1]] = group.limit

    def fails(index: int) -> bool:
        tried[index] += 1
        return tried[index] <= group.retries

    async def on_the_loop(index: int) -> None:
        gauge.change(1, *keys)
        try:
            await asyncio.sleep(0)
            if inner is not None and index == 0:
                assert (await inner.run()).is_successful()
            if fails(index):
                raise ValueError(index)
        finally:
            gauge.change(-1, *keys)

    def in_a_thread(index: int) -> None:
        gauge.change(1, *keys)
        try:
            time.sleep(0)
            if inner is not None and index == 0:
                assert inner.run().is_successful()
            if fails(index):
                raise ValueError(index)
        finally:
            gauge.change(-1, *keys)

    chosen = None if group.limit is None else LocalExecutor(group.limit, group.limit)
    retries = {"max_retries": 1, "retry_delay": timedelta(0)} if group.retries else {}
    task(on_the_loop if group.is_async else in_a_thread, executor=chosen, **retries).map(list(range(group.width)))


@given(flows)
@examples(60)
def test_limits_are_never_exceeded(limited: Limited) -> None:
    gauge, bounds = Gauge(), dict[Any, int | None]()

    async def run() -> None:
        async with Runtime(database_url="sqlite://:memory:", agent=False):
            async with asyncio.timeout(20):
                assert (await build(limited, gauge, bounds).run()).is_successful()

    asyncio.run(run())
    over = {key: gauge.most[key] for key, bound in bounds.items() if bound is not None and gauge.most[key] > bound}
    assert not over
    assert gauge.calls >= sum(group.width * (1 + group.retries) for group in limited.groups)
