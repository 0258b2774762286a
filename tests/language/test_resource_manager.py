"""Resources: which tasks and edges a block makes, and when what runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import cloudpickle
import pytest

from prefectlite import Flow, Parameter, signals, task, triggers
from prefectlite.contexts import active_resource
from prefectlite.language.control_flow import case
from prefectlite.language.resource_manager import (
    ResourceCleanupTask,
    ResourceInitTask,
    ResourceManager,
    ResourceSetupTask,
    resource_manager,
)
from tests.language.flow_graphs import constants, edges, ends, results

LOG: list[Any] = []


@resource_manager
class Pool:
    """Of connections."""

    def __init__(self, size: int, kind: int = 2) -> None:
        LOG.append(("init", size, kind))
        self.size = size

    def setup(self) -> int:
        LOG.append("setup")
        return self.size * 10

    def cleanup(self, resource: int) -> None:
        LOG.append(("cleanup", resource))


@task
def root() -> int:
    return 7


@task
def inc(x: int) -> int:
    LOG.append(("inc", x))
    return x + 1


@task
def fail(x: Any = None) -> int:
    raise ValueError("no")


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    LOG.clear()


OWN = {
    ("Pool-1", "Pool.setup-1", "mgr"),
    ("Pool-1", "Pool.cleanup-1", "mgr"),
    ("Pool.setup-1", "Pool.cleanup-1", "resource"),
}


def test_the_tasks_of_a_block_lie_between_setup_and_cleanup() -> None:
    with Flow("f") as flow:
        with Pool(1) as pool:
            one = inc(pool)
            two = inc(one)
            root()
        inc(two)
    assert isinstance(pool, ResourceSetupTask)
    assert edges(flow) == OWN | {
        ("Pool.setup-1", "inc-1", "x"),
        ("Pool.setup-1", "root-1", None),
        ("inc-1", "inc-2", "x"),
        ("inc-2", "inc-3", "x"),
        ("inc-2", "Pool.cleanup-1", None),
        ("root-1", "Pool.cleanup-1", None),
    }
    assert constants(flow) == {"Pool-1": {"size": 1}}
    assert results(flow, flow.run())["inc-3"] == 13
    assert LOG[:2] == [("init", 1, 2), "setup"]
    assert LOG.index(("inc", 11)) < LOG.index(("cleanup", 10))


def test_what_the_tasks_are() -> None:
    with Flow("f") as flow:
        block = Pool(root(), kind=root())
        with block:
            pass
    init, setup, cleanup = block.init_task, block.setup_task, block.cleanup_task
    assert setup is not None
    assert edges(flow) == OWN | {("root-1", "Pool-1", "size"), ("root-2", "Pool-1", "kind")}
    assert isinstance(init, ResourceInitTask)
    assert isinstance(cleanup, ResourceCleanupTask)
    assert (init.is_resource_init, setup.is_resource_setup, cleanup.is_resource_cleanup) == (True, True, True)  # type: ignore[attr-defined]
    assert (init.checkpoint, setup.checkpoint, cleanup.checkpoint) == (None, False, False)
    assert (init.skip_on_upstream_skip, setup.skip_on_upstream_skip, cleanup.skip_on_upstream_skip) == (True, True, False)
    assert cleanup.trigger is triggers.resource_cleanup_trigger
    assert flow.run().is_successful()
    assert LOG == [("init", 7, 7), "setup", ("cleanup", 70)]


def test_cleanup_runs_although_the_block_failed() -> None:
    with Flow("f") as flow, Pool(1) as pool:
        inc(fail(pool))
    states = ends(flow, flow.run())
    assert states["inc-1"].is_failed()
    assert states["Pool.cleanup-1"].is_successful()
    assert LOG == [("init", 1, 2), "setup", ("cleanup", 10)]


def test_cleanup_is_skipped_when_there_is_nothing_to_clean_up() -> None:
    @resource_manager
    class Broken:
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def setup(self) -> None:
            raise self.error("no")

        def cleanup(self, resource: Any) -> None:
            LOG.append("cleanup")

    with Flow("f") as flow:
        with Pool(fail()) as pool:
            inc(pool)
        with Broken(ValueError) as broken:
            inc(broken)
        with Broken(signals.SKIP) as skipped:
            inc(skipped)
    states = ends(flow, flow.run())
    assert states["Pool.cleanup-1"].message == "Resource manager init failed"
    assert states["Broken.cleanup-1"].message == "Resource manager setup failed"
    assert states["Broken.cleanup-2"].message == "Resource manager setup skipped"
    assert states["inc-3"].is_skipped()
    assert LOG == []


def test_blocks_nest() -> None:
    with Flow("f") as flow, Pool(1) as outer:
        with Pool(2) as inner:
            one = inc(outer)
            inc(inner)
        inc(one)
    assert edges(flow) >= {
        ("Pool.setup-1", "Pool-2", None),
        ("Pool.setup-2", "inc-1", None),
        ("Pool.setup-1", "inc-3", None),
        ("inc-1", "Pool.cleanup-2", None),
        ("inc-2", "Pool.cleanup-2", None),
        ("Pool.cleanup-2", "Pool.cleanup-1", None),
        ("inc-3", "Pool.cleanup-1", None),
    }
    assert ("inc-1", "Pool.cleanup-1", None) not in edges(flow)
    assert active_resource.get() is None
    assert flow.run().is_successful()
    assert LOG.index(("cleanup", 20)) < LOG.index(("cleanup", 10))


def test_with_cases() -> None:
    with Flow("f") as flow:
        condition = root()
        with case(condition, 7), Pool(1) as one:
            inc(one)
        with Pool(2) as two, case(condition, 8):
            inc(two)
    assert edges(flow) >= {
        ("case(7)-1", "Pool-1", None),
        ("Pool.setup-2", "case(8)-1", None),
        ("case(8)-1", "inc-2", None),
        ("inc-2", "Pool.cleanup-2", None),
    }
    assert ("case(7)-1", "inc-1", None) not in edges(flow)
    assert flow.run().is_successful()


def test_parameters_and_constants_stay_outside() -> None:
    with Flow("f") as flow, Pool(1):
        inc(Parameter("p", default=2))
        inc.map([1, 2])
    assert {down for up, down, _ in edges(flow) if up == "Pool.setup-1"} == {"inc-1", "inc-2", "Pool.cleanup-1"}
    assert flow.run().is_successful()


def test_without_a_setup() -> None:
    @resource_manager
    class Cleaner:
        def cleanup(self, resource: Any) -> None:
            LOG.append(("cleanup", resource))

    with Flow("f") as flow, Cleaner() as nothing:
        root()
    assert nothing is None
    assert edges(flow) == {("Cleaner-1", "Cleaner.cleanup-1", "mgr"), ("root-1", "Cleaner.cleanup-1", None)}
    assert flow.run().is_successful()
    assert LOG == [("cleanup", None)]


def test_without_a_cleanup_that_task_fails() -> None:
    @resource_manager
    class Setup:
        def setup(self) -> int:
            return 4

    with Flow("f") as flow, Setup() as resource:
        inc(resource)
    states = ends(flow, flow.run())
    assert states["inc-1"].result == 5
    assert "has no attribute 'cleanup'" in str(states["Setup.cleanup-1"].message)


def test_asynchronous_resources() -> None:
    @resource_manager
    class Connection:
        async def setup(self) -> int:
            return 4

        async def cleanup(self, resource: int) -> None:
            LOG.append(("closed", resource))

    with Flow("f") as flow, Connection() as connection:
        inc(connection)
    assert results(flow, flow.run())["inc-1"] == 5
    assert LOG[-1] == ("closed", 4)


class Entered:
    def __enter__(self) -> int:
        return 5

    def __exit__(self, *error: object) -> None:
        LOG.append(("left", error))


class EnteredLater:
    async def __aenter__(self) -> int:
        return 5

    async def __aexit__(self, *error: object) -> None:
        LOG.append(("left", error))


@pytest.mark.parametrize("kind", [Entered, EnteredLater])
def test_context_managers_are_resources(kind: Any) -> None:
    manager = resource_manager(kind)
    with Flow("f") as flow, manager() as value:
        inc(value)
    assert flow.slugs[value] == f"{kind.__name__}.setup-1"
    assert results(flow, flow.run())["inc-1"] == 6
    assert LOG[-1] == ("left", (None, None, None))


def test_setup_and_cleanup_come_before_enter_and_exit() -> None:
    @resource_manager
    class Both(Entered):
        def setup(self) -> int:
            return 1

        def cleanup(self, resource: int) -> None:
            LOG.append("cleanup")

    with Flow("f") as flow, Both() as value:
        inc(value)
    assert results(flow, flow.run())["inc-1"] == 2
    assert LOG[-1] == "cleanup"


def test_keywords_for_the_tasks() -> None:
    @resource_manager(
        name="Db",
        init_task_kwargs={"name": "made", "tags": {"q"}},
        setup_task_kwargs={"max_retries": 1, "retry_delay": timedelta(0), "checkpoint": True},
        cleanup_task_kwargs={"trigger": triggers.all_finished, "name": "closed"},
    )
    class Database:
        def __init__(self, url: str) -> None: ...

        def setup(self) -> int:
            return 1

        def cleanup(self, resource: int) -> None: ...

    with Flow("f") as flow:
        block = Database("x")
        with block as value:
            inc(value)
    assert set(flow.slugs.values()) == {"made-q-1", "Db.setup-1", "closed-1", "inc-1"}
    assert value.checkpoint is True
    assert value.max_retries == 1
    assert block.cleanup_task.trigger is triggers.all_finished
    assert block.cleanup_task.checkpoint is False


def test_with_a_flow_given() -> None:
    flow = Flow("f")
    with Pool(1, flow=flow) as pool:
        inc(pool, flow=flow)
    assert ("inc-1", "Pool.cleanup-1", None) in edges(flow)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Could not infer an active Flow context\."):
        Pool(1)
    with Flow("f"), pytest.raises(TypeError, match="size"):
        Pool()
    with pytest.raises(TypeError, match="a class, not 3"):
        resource_manager(3)  # type: ignore[call-overload]

    def in_two_flows() -> None:
        with Flow("g"), Pool(1):
            inc(1, flow=Flow("other"))

    with pytest.raises(ValueError, match="Multiple flows cannot be used with the same resource block"):
        in_two_flows()
    assert active_resource.get() is None


def test_an_error_inside_of_a_block_goes_on() -> None:
    flow = Flow("f")

    def broken() -> None:
        with flow, Pool(1) as pool:
            inc(pool)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert ("inc-1", "Pool.cleanup-1", None) in edges(flow)


def test_a_manager_shows_the_class_it_is_made_of() -> None:
    assert isinstance(Pool, ResourceManager)
    assert (Pool.__name__, Pool.__doc__, Pool.name) == ("Pool", "Of connections.", "Pool")  # type: ignore[attr-defined]
    with Flow("f") as flow, Pool(1) as pool:
        inc(pool)
    assert cloudpickle.dumps(flow.slugs)
