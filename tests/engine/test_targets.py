"""Targets: results that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Parameter, results
from prefectlite.states import Cached
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("a", "a"),
        ("{x}-{parameters[p]}-{task_name}-{flow_name}", "1-1-t-targets"),
        (lambda **values: f"f{values['x']}-{values['task_name']}", "f1-t"),
    ],
)
@pytest.mark.parametrize("of_flow", [False, True])
async def test_the_second_run_finds_what_the_first_one_wrote(
    made: Made, seen: Seen, tmp_path: Path, target: Any, file: str, of_flow: bool
) -> None:
    kept, ran = results.LocalResult(dir=tmp_path), []
    own = {} if of_flow else {"result": kept}
    with Flow("targets", result=kept if of_flow else None) as flow:
        only = made(lambda x: ran.append(x) or x * 10, target=target, state_handlers=[seen], **own)(
            Parameter("p", default=1)
        )
    assert (await flow.run())[only] == 10
    assert [path.name for path in tmp_path.iterdir()] == [file]
    state = (await flow.run()).result[only]
    assert (type(state), state.message, state.result) == (Cached, f"Result found at task target {file}", 10)
    assert state.cached_result_expiration is None
    assert ran == [1]
    assert seen == ["Pending>Running", "Running>Success", "Pending>Cached"]


async def test_nothing_is_written_without_checkpoint(made: Made, tmp_path: Path) -> None:
    kept = results.LocalResult(dir=tmp_path)
    with Flow("targets") as flow:
        only = made(lambda: 1, target="a", result=kept, checkpoint=False)()
    assert (await flow.run())[only] == 1
    assert list(tmp_path.iterdir()) == []
    kept.at("a").write("there")
    assert (await flow.run())[only] == "there"


async def test_cache_for_is_not_looked_at(made: Made, tmp_path: Path) -> None:
    with Flow("targets") as flow:
        only = made(lambda: 1, target="a", result=results.LocalResult(dir=tmp_path), cache_for=3600)()
    assert (await flow.run()).result[only].cached_result_expiration is not None
    (tmp_path / "a").unlink()
    assert "Result found" not in str((await flow.run()).result[only].message)


async def test_children_have_their_own(made: Made, tmp_path: Path) -> None:
    with Flow("targets") as flow:
        children = made(lambda x: x, target="{x}", result=results.LocalResult(dir=tmp_path)).map([1, 2])
    await flow.run()
    run = await flow.run()
    assert all(isinstance(child, Cached) for child in run.result[children].map_states)
    assert run[children] == [1, 2]


@pytest.mark.parametrize("target", ["{nope}", lambda **values: values["nope"]])
async def test_a_target_that_cannot_be_made(made: Made, seen: Seen, tmp_path: Path, target: Any) -> None:
    kept = results.LocalResult(dir=tmp_path)
    with Flow("targets") as flow:
        only = made(lambda: 1, target=target, result=kept, state_handlers=[seen], max_retries=1, retry_delay=0)()
    assert (await flow.run()).result[only].message == "Unexpected error: KeyError('nope')"
    assert seen == ["Pending>Failed"]


async def test_a_target_without_a_result(made: Made) -> None:
    with Flow("targets") as flow:
        only = made(lambda: 1, target="a")()
    assert str((await flow.run()).result[only].message).startswith("Unexpected error: ResultNotImplementedError(")
