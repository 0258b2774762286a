"""Logging in and out in a real Chromium, on a real server that asks for tokens."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from prefectlite.api.gate import FAILURES
from tests.browser.conftest import FLOW, unused_port, watched_page
from tests.scenarios.processes import PATIENCE, Server, is_healthy, serving, wait_until

pytestmark = pytest.mark.asyncio
NUMBERS = itertools.count(1)
MAKE = "mutation ($i: create_api_token_input!) { create_api_token(input: $i) { id token } }"
REVOKE = "mutation ($id: UUID!) { revoke_api_token(input: {token_id: $id}) { success } }"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "squares.py").write_text(FLOW)
    return home


@pytest.fixture(scope="module")
def guarded(home: Path) -> Iterator[Server]:
    """A server that asks for tokens; it is spoken to as the admin."""
    with asking_for_tokens(home, unused_port()) as started:
        yield started


@contextlib.contextmanager
def asking_for_tokens(home: Path, port: int) -> Iterator[Server]:
    with serving("squares.py", "--auth", port=port, cwd=home, PREFECTLITE_HOME=str(home)) as started:
        started.show((home / "token").read_text().strip())
        yield started


@pytest_asyncio.fixture
async def page(guarded: Server, browser: Browser) -> AsyncIterator[Page]:
    # What a browser says itself of what is refused to it: a request, or a live connection that is tried once more.
    async with watched_page(browser, expected=("Failed to load resource", "HTTP Authentication failed")) as opened:
        yield opened


def made(server: Server, role: str) -> tuple[str, str]:
    """A new token: its id and its text."""
    name = f"{role} {next(NUMBERS)}"
    token = server.graphql(MAKE, i={"name": name, "role": role})["create_api_token"]
    return token["id"], token["token"]


async def log_in(page: Page, token: str) -> None:
    await page.get_by_label("Token", exact=True).fill(token)
    await page.get_by_role("button", name="Log in").click()


async def test_by_keyboard_to_where_one_wanted_to_be(guarded: Server, page: Page) -> None:
    _, token = made(guarded, "operator")
    await page.goto(f"{guarded.url}/flows?from=mail")
    await expect(page).to_have_title("Log in · prefectlite")
    await expect(page.get_by_role("heading", level=1, name="Log in")).to_be_visible()
    await expect(page.get_by_role("navigation", name="Main")).to_have_count(0)
    field = page.get_by_label("Token", exact=True)
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("type", "password")
    await expect(field).to_have_attribute("autocomplete", "current-password")
    await page.keyboard.type(f" {token} ")
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("heading", level=1, name="Flows")).to_be_visible()
    assert page.url == f"{guarded.url}/flows?from=mail"
    await expect(page.get_by_role("main")).to_be_focused()
    await expect(page.get_by_role("link", name="Run squares")).to_be_visible()
    assert await page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"

    account = page.get_by_role("button", name=re.compile("^Account: operator [0-9]+, operator$"))
    await account.focus()
    await page.keyboard.press("Enter")
    leave = page.get_by_role("button", name="Log out")
    await expect(leave).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(leave).to_be_hidden()
    await account.click()
    await leave.click()
    await expect(page.get_by_label("Token", exact=True)).to_be_focused()
    await page.reload()
    await expect(page.get_by_role("heading", level=1, name="Log in")).to_be_visible()


async def test_wrong_tokens(guarded: Server, page: Page) -> None:
    _, token = made(guarded, "agent")
    await page.goto(guarded.url)
    field, alert = page.get_by_label("Token", exact=True), page.get_by_role("alert")
    await expect(field).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(alert).to_have_text("Type or paste a token.")
    await log_in(page, token)
    await expect(alert).to_contain_text("This is an agent's token")
    await log_in(page, "pl_wrong")
    await expect(alert).to_have_text("This token is not known, has expired or was revoked.")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description("This token is not known, has expired or was revoked.")
    await expect(field).to_be_focused()


async def test_too_many_wrong_tokens(tmp_path: Path, free_port: int, browser: Browser) -> None:
    (tmp_path / "squares.py").write_text(FLOW)
    with asking_for_tokens(tmp_path, free_port) as server:
        async with (
            httpx.AsyncClient(base_url=server.url) as others,
            watched_page(browser, expected="Failed to load resource") as page,
        ):
            for number in range(FAILURES):
                await others.post("/api/session", json={"token": f"pl_{number}"})
            await page.goto(server.url)
            await log_in(page, "pl_wrong as well")
            await expect(page.get_by_role("alert")).to_have_text(
                "Too many wrong tokens came from this address: wait a minute."
            )


async def test_a_viewer_is_offered_nothing_that_they_may_not_do(guarded: Server, page: Page) -> None:
    _, token = made(guarded, "viewer")
    run_id = guarded.start("squares", count=50)
    await page.goto(guarded.url)
    await log_in(page, token)
    await expect(page.get_by_role("status", name="Live connection")).to_contain_text("Live")
    await expect(page.get_by_role("heading", name="Flows")).to_be_visible()
    await expect(page.get_by_role("button", name="squares", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Run squares")).to_have_count(0)
    await page.locator(f'tr[data-run="{run_id}"]').get_by_role("link").first.click()
    await expect(page.get_by_role("log")).to_contain_text("counting to 50")
    await expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)
    await page.keyboard.press("g")
    await page.keyboard.press("f")
    await expect(page.get_by_role("heading", level=2, name="squares")).to_be_visible()
    await expect(page.get_by_role("link", name="Run squares")).to_have_count(0)
    flow_id = guarded.graphql('{ flow(where: {name: {_eq: "squares"}}) { id } }')["flow"][0]["id"]
    await page.goto(f"{guarded.url}/flows/{flow_id}")
    await expect(page.get_by_role("alert")).to_contain_text("operator or admin")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_login_that_ends_meanwhile(guarded: Server, page: Page) -> None:
    first, token = made(guarded, "operator")
    run_id = guarded.start("squares", count=50)
    await page.goto(f"{guarded.url}/runs/{run_id}")
    await log_in(page, token)
    await expect(page.get_by_role("status", name="Live connection")).to_contain_text("Live")
    guarded.graphql(REVOKE, id=first)  # nobody touches the page: its live connection is closed
    await expect(page.get_by_role("status").filter(has_text="Your login has ended")).to_be_visible()
    _, token = made(guarded, "operator")
    await log_in(page, token)
    await expect(page.get_by_role("status", name="Run state")).to_contain_text("Running")
    await expect(page.get_by_role("status", name="Live connection")).to_contain_text("Live")
    assert page.url == f"{guarded.url}/runs/{run_id}"
    guarded.graphql("mutation ($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }", id=run_id)
    await expect(page.get_by_role("status", name="Run state")).to_contain_text("Cancelled")


async def test_a_login_that_ends_where_nothing_is_followed_live(guarded: Server, page: Page) -> None:
    token_id, token = made(guarded, "operator")
    await page.goto(f"{guarded.url}/flows")
    await log_in(page, token)
    await page.get_by_role("link", name="Run squares").click()
    dialog = page.get_by_role("dialog", name="Run squares")
    await dialog.get_by_role("textbox", name="count").fill("1")
    guarded.graphql(REVOKE, id=token_id)
    await dialog.get_by_role("button", name="Start run").click()
    await expect(page.get_by_role("status").filter(has_text="Your login has ended")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_another_tab_logs_out(guarded: Server, page: Page) -> None:
    _, token = made(guarded, "viewer")
    await page.goto(guarded.url)
    await log_in(page, token)
    await expect(page.get_by_role("status", name="Live connection")).to_contain_text("Live")
    other = await page.context.new_page()
    await other.goto(guarded.url)
    await other.get_by_role("button", name="Account").click()
    await other.get_by_role("button", name="Log out").click()
    await expect(other.get_by_role("heading", level=1, name="Log in")).to_be_visible()
    await expect(page.get_by_role("heading", level=1, name="Log in")).to_be_visible()


async def test_where_no_tokens_are_asked_for_nothing_of_it_is_seen(server: Server, browser: Browser) -> None:
    async with watched_page(browser, expected="405") as page:
        await page.goto(f"{server.url}/#token=whatever")
        await expect(page.get_by_role("button", name="Run squares")).to_be_visible()
        await expect(page.get_by_role("button", name="Account")).to_have_count(0)


@pytest.fixture
def printed_link(home: Path, free_port: int) -> Iterator[str]:
    """The link that a server prints that was started in a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "prefectlite", "serve", "squares.py", "--auth", "--port", str(free_port)]
    environment = {**os.environ, "PREFECTLITE_HOME": str(home), "COLUMNS": "200"}
    process = subprocess.Popen(command, cwd=home, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        wait_until(lambda: process.poll() is not None or is_healthy(f"http://127.0.0.1:{free_port}"))
        printed = ""
        while "log in" not in printed or not printed.endswith("\n"):
            printed += os.read(ours, 4096).decode()
        link = re.search(r"http://\S+/#token=\S+", printed)
        assert link is not None
        yield link[0]
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(ours)


async def test_the_link_of_a_terminal(printed_link: str, browser: Browser) -> None:
    asked: list[str] = []
    async with watched_page(browser, expected="Failed to load resource") as page:
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(printed_link)
        await expect(page.get_by_role("button", name="Account: admin, admin")).to_be_visible()
        assert page.url == printed_link.partition("#")[0]
        assert "token=" not in "".join(asked)
        await page.go_back()
        assert "token=" not in page.url
    async with watched_page(browser, expected="Failed to load resource") as page:
        await page.goto(printed_link)
        await expect(page.get_by_role("alert")).to_contain_text("This link was used before")
