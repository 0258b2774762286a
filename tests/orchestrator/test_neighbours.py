"""The sockets of processes that share one file: none is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from prefectlite.ids import new_id
from prefectlite.live.bus import Bus
from prefectlite.orchestrator.neighbours import SocketNeighbours
from prefectlite.repository.sqlite import open_sqlite


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(4))
async def test_who_is_cancelled_while_it_opens_them_closes_them(tmp_path: Path, turns: int) -> None:
    path = tmp_path / "a.sqlite"
    database = await open_sqlite(path)
    for _ in range(20):  # the thread that opens them is sometimes the faster one
        neighbours = SocketNeighbours(path, new_id(), database, Bus())
        opening = asyncio.create_task(neighbours.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await neighbours.aclose()
        assert neighbours._socket is None
        assert not neighbours._directory.exists() or not list(neighbours._directory.iterdir())
    await database.aclose()
