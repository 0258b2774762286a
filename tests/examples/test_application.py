"""examples/application.py under a real uvicorn: its own route, and the API and the pages it mounts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest
import pytest_asyncio

from tests.examples.conftest import EXAMPLES, Server, server

TEXT = "To be, or not to be:\nthat is the question.\n\nBe that as it may, the answer is 42.\n"


@pytest_asyncio.fixture
async def application(free_port: int) -> AsyncIterator[Server]:
    """The application in a process of its own; the API of the Server is the mounted one."""
    url = f"http://127.0.0.1:{free_port}/prefectlite"
    arguments = ("-m", "uvicorn", "--app-dir", str(EXAMPLES), "application:app", "--port", str(free_port))
    # uvicorn shuts down in good order, and then raises the signal again.
    async with server(*arguments, url=url, health=f"{url}/api/health", exit_code=-signal.SIGTERM) as running:
        yield running


async def _words(application: Server, text: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(application.url.replace("prefectlite", "words"), content=text)


@pytest.mark.asyncio
async def test_the_handler_answers_with_what_the_flow_found(application: Server) -> None:
    response = await _words(application, TEXT)
    assert response.status_code == 200
    answer = response.json()
    assert answer["words"].items() >= {"be": 3, "to": 2, "that": 2, "the": 2, "is": 2}.items()
    assert len(answer["words"]) == 10
    run_id = answer["run"].rpartition("/")[2]
    asked = await application.ask("query ($id: uuid!) { flow_run_by_pk(id: $id) { state flow { name } } }", id=run_id)
    assert asked["flow_run_by_pk"] == {"state": "Success", "flow": {"name": "words"}}


@pytest.mark.asyncio
async def test_a_run_that_fails_is_answered_too(application: Server) -> None:
    response = await _words(application, " \n\n ")
    assert response.status_code == 422
    assert response.json()["error"] == "Some reference tasks failed."


@pytest.mark.asyncio
async def test_twenty_requests_at_once(application: Server) -> None:
    responses = await asyncio.gather(*(_words(application, f"word{number} " * 3) for number in range(20)))
    assert [response.json()["words"] for response in responses] == [{f"word{number}": 3} for number in range(20)]


@pytest.mark.asyncio
async def test_the_mounted_api_starts_runs_and_tells_of_them(application: Server) -> None:
    run_id = await application.start("words", text=TEXT)
    assert await application.end_of(run_id, within=20) == "Success"
    states = []
    async with aclosing(application.changes(run_id)) as changes:
        async for change in changes:
            states.append((change["kind"], change["state"], change["map_index"]))
            if change["kind"] == "flow_run" and change["state"] == "Success":
                break
    assert ("task_run", "Success", 1) in states


@pytest.mark.asyncio
async def test_the_mounted_pages_find_their_files(application: Server) -> None:
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
        link = (await _words(application, TEXT)).json()["run"]
        assert link.startswith(f"{application.url}/runs/")
        for address in (application.url, f"{application.url}/", link):
            page = await client.get(address)
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
        assert (await client.get(f"{application.url}/nothing/of/the/kind")).status_code == 404
