"""A real Chromium: Debian's, where it is or can be had; else the one that playwright downloads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

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


@pytest_asyncio.fixture
async def page(chromium: str | None, tmp_path: Path) -> AsyncIterator[Page]:
    """An empty page, which must not have asked any other host for anything, nor logged an error, by the end of the test."""
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        opened = await browser.new_page()
        hosts: set[str] = set()
        errors: list[str] = []
        opened.on(
            "request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0] if "//" in request.url else "")
        )
        opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
        await browser.close()
        assert hosts - {""} <= {"127.0.0.1"}
        assert not [error for error in errors if "ERR_CONNECTION_REFUSED" not in error]  # the server leaves before the page
