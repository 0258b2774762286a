"""Finding runs in the record."""

from __future__ import annotations

import pytest

from prefectlite import Flow, Runtime, task
from prefectlite.errors import BadRequest, NotFound
from prefectlite.repository.runs import run_called

pytestmark = pytest.mark.asyncio


@task
def one() -> int:
    return 1


with Flow("named") as FLOW:
    one()


async def test_a_run_is_found_by_its_id_or_by_a_name_that_no_other_has(database_url: str) -> None:
    async with Runtime(database_url=database_url) as runtime:
        database = runtime.session.database
        for name in ("first", "twice", "twice"):
            await FLOW.run(flow_run_name=name)
        first = await run_called(database, "first")
        assert (first.name, first.is_finished) == ("first", True)
        assert await run_called(database, first.id.upper()) == first
        with pytest.raises(
            BadRequest, match="Several flow runs are called 'twice': give the id of one, such as "
        ) as several:
            await run_called(database, "twice")
        for run_id in str(several.value).partition("such as ")[2].split(", "):
            assert (await run_called(database, run_id)).name == "twice"
        with pytest.raises(NotFound, match=r"There is no flow run 'nobody' in .*: give its id or its name"):
            await run_called(database, "nobody")
        with pytest.raises(NotFound):
            await run_called(database, first.flow_id)
