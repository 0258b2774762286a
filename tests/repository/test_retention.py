"""Looking for what is too old goes along an index, however much there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from prefectlite.repository import retention
from prefectlite.repository.database import Row
from prefectlite.repository.statement import Compiled
from tests.repository.sample_rows import Sample


class Explained:
    """A database that answers with how it would go about it."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.plans: list[str] = []

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self.plans.append("\n".join(self._sample.plan(Compiled(sql, list(params)))))
        return []


@pytest.mark.parametrize("find", [retention.old_runs, retention.old_logs])
def test_old_runs_are_found_along_their_ends(sample: Sample, find: Any) -> None:
    explained = Explained(sample)
    searching = find(explained, retention.Terms(30, 7), 10**15, retention.OldRun("x", 5))
    with pytest.raises(StopIteration):
        searching.send(None)  # it waits for nothing here, so that no loop is needed
    assert "flow_run_by_end" in explained.plans[-1]
    assert "SCAN r" not in explained.plans[-1]
    assert "TEMP B-TREE" not in explained.plans[-1]
