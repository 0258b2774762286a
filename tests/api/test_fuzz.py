"""Operations made at random from the schema, sent to a real server: it answers all of them, with JSON and in time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from graphql import (
    GraphQLObjectType,
    GraphQLScalarType,
    IntrospectionQuery,
    StringValueNode,
    build_client_schema,
    get_introspection_query,
    is_specified_scalar_type,
    lexicographic_sort_schema,
    print_schema,
)
from graphql.language import BooleanValueNode, IntValueNode, ListValueNode, ObjectValueNode
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import mutations, queries

from prefectlite import Flow, Runtime
from prefectlite.api.schema import SCHEMA
from prefectlite.ids import new_id
from tests.api.conftest import doubling, other, serving

#: Seconds within which everything is answered, on a machine that has other things to do.
PATIENCE = 2.0
SDL = print_schema(SCHEMA)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server over a scratch database, in a thread of its own: hypothesis knows no coroutines."""
    url = "sqlite://:memory:" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    ports: list[int] = []
    ready, leave = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def live() -> None:
        loops.append(asyncio.get_running_loop())
        async with Runtime([doubling, other], database_url=url, agent=False) as runtime:
            await flow_with_everything(doubling)
            async with serving(runtime.app) as port:
                ports.append(port)
                ready.set()
                await leave.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    assert ready.wait(30)
    yield f"http://localhost:{ports[0]}/graphql"
    loops[0].call_soon_threadsafe(leave.set)
    thread.join()


async def flow_with_everything(flow: Flow) -> None:
    """A few runs, so that there is something to find."""
    for _ in range(2):
        await flow.run()


def scalars() -> dict[str, st.SearchStrategy[Any]]:
    """What to write for the scalars that are ours: mostly what fits, now and then something that does not."""
    texts = TEXT.map(lambda text: StringValueNode(value=text))
    ids = st.sampled_from([new_id(), "0" * 32, "{a}"]).map(lambda text: StringValueNode(value=text))
    numbers = st.sampled_from(["0", "1", "-1", "9223372036854775807", "99999999999999999999"]).map(
        lambda n: IntValueNode(value=n)
    )
    moments = st.sampled_from(["2024-01-01T00:00:00+00:00", "1-1-1", "9999-12-31T23:59:59Z", "01:30:00", "{}"])
    anything = st.one_of(
        texts, numbers, moments.map(lambda text: StringValueNode(value=text)), st.just(BooleanValueNode(value=True)),
        st.just(ListValueNode(values=())), st.just(ObjectValueNode(fields=())),
    )  # fmt: skip
    found: dict[str, st.SearchStrategy[Any]] = {}
    for name, type_ in SCHEMA.type_map.items():
        if isinstance(type_, GraphQLScalarType) and not is_specified_scalar_type(type_):
            usual = {"uuid": ids, "UUID": ids, "_uuid": ids, "bigint": numbers}.get(name, anything)
            found[name] = st.one_of(usual, usual, anything)
    return found


SCALARS = scalars()


def operations(kind: Callable[..., st.SearchStrategy[str]], type_name: str) -> st.SearchStrategy[str]:
    """One or two fields at a time: a document about everything would be refused for its size."""
    found = SCHEMA.type_map[type_name]
    assert isinstance(found, GraphQLObjectType)
    chosen = st.lists(st.sampled_from(list(found.fields)), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(lambda fields: kind(SDL, fields=fields, custom_scalars=SCALARS))


def check(server: str, document: str) -> None:
    begun = time.monotonic()
    response = httpx.post(server, json={"query": document}, timeout=30)
    took = time.monotonic() - begun
    assert response.status_code in (200, 400), (document, response.text)
    answer = response.json()
    assert "data" in answer or "errors" in answer
    for error in answer.get("errors", ()):
        assert error["extensions"]["code"] != "API_ERROR", (document, error)
        assert "Traceback" not in error["message"]
    assert took < PATIENCE, (took, document)


def fuzzed(request: pytest.FixtureRequest, few: int, many: int) -> settings:
    return settings(
        max_examples=many if request.config.getoption("--long") else few,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink a document of this size takes minutes
    )


def test_queries(server: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    @fuzzed(request, 80, 2_000)
    @given(operations(queries, "Query"))
    def every(document: str) -> None:
        check(server, document)

    every()
    assert not [record for record in caplog.records if record.exc_info]


def test_mutations(server: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    @fuzzed(request, 80, 2_000)
    @given(operations(mutations, "Mutation"))
    def every(document: str) -> None:
        check(server, document)

    every()
    assert not [record for record in caplog.records if record.exc_info]


def test_graphiqls_introspection(server: str) -> None:
    query = get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    )
    answer = httpx.post(server, json={"query": query, "operationName": "IntrospectionQuery"}, timeout=30).json()
    introspected: IntrospectionQuery = answer["data"]
    built = build_client_schema(introspected)
    assert print_schema(lexicographic_sort_schema(built)) == print_schema(lexicographic_sort_schema(SCHEMA))
