"""The small database to ask questions of, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.repository.sample_rows import PostgresSample, Sample, SqliteSample


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def sample(request: pytest.FixtureRequest) -> Iterator[Sample]:
    if request.param == "sqlite":
        made: Sample = SqliteSample()
        yield made
        made.close()
        return
    server = request.getfixturevalue("postgres_server")
    name = server.new_database()
    made = PostgresSample(server.url_of(name))
    yield made
    made.close()
    server.empty(name)
