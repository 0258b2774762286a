"""The key-value store and secrets through GraphQL: values of the one are read, of the other never."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from prefectlite import Runtime
from prefectlite.errors import SecretUnreadable

SET = "mutation ($input: set_secret_input!) { set_secret(input: $input) { success error } }"
CANARY = "canary-value"


async def refusal(http: httpx.AsyncClient, query: str, **variables: Any) -> str:
    """All of an answer that has errors."""
    response = await http.post("/graphql", json={"query": query, "variables": variables})
    assert response.json()["errors"]
    return response.text


@pytest.mark.asyncio
async def test_key_values(http: httpx.AsyncClient, ask: Any) -> None:
    put = "mutation ($input: set_key_value_input!) { set_key_value(input: $input) { id } }"
    made = await ask(put, input={"key": "a", "value": {"b": [1, None]}})
    assert await ask(put, input={"key": "a", "value": None}) == made
    key = made["set_key_value"]["id"]
    assert await ask("{ key_value { id key value } }") == {"key_value": [{"id": key, "key": "a", "value": None}]}
    delete = "mutation ($id: UUID!) { delete_key_value(input: {key_value_id: $id}) { success error } }"
    assert (await ask(delete, id=key))["delete_key_value"] == {"success": True, "error": None}
    assert '"NOT_FOUND"' in await refusal(http, delete, id=key)
    assert "Value payload exceedes 10 KB limit." in await refusal(http, put, input={"key": "a", "value": "x" * 10_000})


@pytest.mark.asyncio
async def test_secrets_are_set_listed_and_deleted(http: httpx.AsyncClient, ask: Any, runtime: Runtime) -> None:
    for value in (CANARY, {"password": CANARY}):
        assert (await ask(SET, input={"name": "B", "value": value}))["set_secret"] == {"success": True, "error": None}
        assert await runtime.session.client.secrets.get("B") == value
    await ask(SET, input={"name": "A", "value": 1})
    assert await ask("{ secret_names hello }") == {"secret_names": ["A", "B"], "hello": "👋"}
    delete = 'mutation { delete_secret(input: {name: "A"}) { success } }'
    await ask(delete)
    assert "There is no secret 'A'" in await refusal(http, delete)
    assert await ask("{ secret_names }") == {"secret_names": ["B"]}
    for query in ('{ secret_value(name: "B") }', "{ secret { name sealed } }", "{ secret_by_pk { sealed } }"):
        assert "Cannot query field" in await refusal(http, query)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "given"),
    [
        (SET, {"name": "A", "valu": CANARY}),
        (SET, {"value": CANARY}),
        (SET, {"name": [CANARY], "value": 1}),
        (SET, CANARY),
        (SET, {"name": "", "value": CANARY}),
        (SET, {"name": "A", "value": CANARY * 1_000}),
        ('mutation { set_secret(input: "canary-value") { success } }', None),
        ('mutation { set_secret("canary-value") { success } }', None),
        ('mutation { set_secret(input: {name: ["canary-value"], value: 1}) { success } }', None),
    ],
)
async def test_no_message_quotes_a_secret(
    http: httpx.AsyncClient, query: str, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert "canary" not in await refusal(http, query, input=given)
    assert "canary" not in caplog.text


@pytest.mark.asyncio
async def test_the_database_has_them_sealed(ask: Any, runtime: Runtime) -> None:
    await ask(SET, input={"name": "A", "value": CANARY})
    await ask(SET, input={"name": "B", "value": "another"})
    secrets, database = runtime.session.client.secrets, runtime.session.database
    found = await database.read("SELECT sealed FROM secret ORDER BY name")
    assert all("canary" not in sealed for (sealed,) in found)

    async def swap(tx: Any) -> None:
        await tx.execute("UPDATE secret SET sealed = $1 WHERE name = 'B'", (found[0][0],))

    await database.write(swap)
    with pytest.raises(SecretUnreadable, match=r"^Secret 'B' in the database is that of another name: set it again$"):
        await secrets.get("B")


@pytest.mark.asyncio
async def test_a_run_is_not_given_secrets_to_keep(http: httpx.AsyncClient, ask: Any) -> None:
    flow = (await ask('{ flow(where: {name: {_eq: "doubling"}}) { id } }'))["flow"][0]["id"]
    create = "mutation ($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }"
    given = {"flow_id": flow, "context": {"secrets": {"A": CANARY}}}
    assert "context.secrets: secrets are not kept with a run" in await refusal(http, create, input=given)
