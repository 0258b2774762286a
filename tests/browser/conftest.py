"""A real Chromium: Debian's, where it is or can be had; else the one that playwright downloads."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.scenarios.processes import Server, serving

#: Nothing but the page under test: no look-ups, no updates, no first-run pages.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

FLOW = """
import asyncio
from prefectlite import Flow, Parameter, context, task, unmapped

GATE = __import__("pathlib").Path(__file__).with_name("gate")

@task
def numbers(count):
    context.logger.info("counting to %s", count)
    return list(range(count))

@task
async def square(number, factor):
    while number > 5 and not GATE.exists():
        await asyncio.sleep(0.02)
    return number * number * factor

@task(log_stdout=True)
def total(values):
    print(f"the total is {sum(values)}")
    return sum(values)

with Flow("squares") as flow:
    total(square.map(numbers(Parameter("count")), unmapped(Parameter("factor", default=1))))
"""


def _found() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _installed() -> str | None:
    """Where Chromium is once it is installed; None where playwright has its own."""
    if path := _found():
        return path
    if shutil.which("apt-get") and os.geteuid() == 0:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(
                command, check=False, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
        if path := _found():
            return path
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True, capture_output=True)
    return None


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The path of a Chromium, or None for playwright's own."""
    return _installed()


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[Server]:
    """A server of the flow `squares`, whose children past 5 wait until a file `gate` appears in `tmp_path`."""
    (tmp_path / "squares.py").write_text(FLOW)
    with serving("squares.py", port=free_port, cwd=tmp_path) as started:
        yield started


@pytest_asyncio.fixture
async def browser(chromium: str | None) -> AsyncIterator[Browser]:
    """The browser itself, for tests that open pages in their own way."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def page(server: Server, browser: Browser) -> AsyncIterator[Page]:
    """An empty page, which must not have asked any other host for anything, nor logged an error, by the end of the test.

    It asks for the server so that it is closed first: a page whose server is killed rightly complains.
    """
    async with watched_page(browser) as opened:
        yield opened


@contextlib.asynccontextmanager
async def watched_page(browser: Browser, *, expected: str | tuple[str, ...] = (), **options: Any) -> AsyncIterator[Page]:
    """A page in a context of its own, watched as `page` is; errors with a text in them that is `expected` may be logged."""
    allowed = (expected,) if isinstance(expected, str) else expected
    context = await browser.new_context(**options)
    opened = await context.new_page()
    hosts: set[str] = set()
    errors: list[str] = []
    opened.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0] if "//" in request.url else ""))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    await context.close()
    assert hosts - {""} <= {"127.0.0.1"}
    assert not [error for error in errors if not any(text in error for text in allowed)]


def unused_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
