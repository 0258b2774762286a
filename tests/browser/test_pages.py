"""A person starts a run in the UI and watches it, in a real Chromium, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.scenarios.processes import Server

pytestmark = pytest.mark.asyncio


async def test_a_run_is_started_by_the_form_and_watched_live(server: Server, page: Page, tmp_path: Path) -> None:
    await page.goto(server.url)
    await expect(page.get_by_role("status", name="Live connection")).to_contain_text("Live")
    await page.get_by_role("button", name="Run squares").click()
    dialog = page.get_by_role("dialog", name="Run squares")
    await dialog.get_by_role("textbox", name="count").fill("100")
    await dialog.get_by_role("textbox", name="Run name").fill("by hand")
    await dialog.get_by_role("button", name="Start run").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("by hand")
    await expect(page.get_by_role("status", name="Run state")).to_contain_text("Running")
    progress = page.get_by_role("progressbar", name="Progress of square")
    await expect(progress).to_have_attribute("aria-valuetext", "6 of 100 finished")
    await expect(page.get_by_role("log")).to_contain_text("counting to 100")

    (tmp_path / "gate").touch()
    await expect(progress).to_have_attribute("aria-valuetext", "100 of 100 finished")
    await expect(page.get_by_role("log")).to_contain_text("the total is 328350")
    await expect(page.get_by_role("status", name="Run state")).to_contain_text("Success")

    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Runs").click()
    row = page.get_by_role("table", name="Flow runs").get_by_role("row").nth(1)
    await expect(row).to_contain_text("by hand")
    await expect(row).to_contain_text("Success")


async def test_the_list_is_live_and_a_run_can_be_cancelled(server: Server, page: Page) -> None:
    await page.goto(server.url)
    await expect(page.get_by_role("status", name="Live connection")).to_contain_text("Live")
    run_id = server.start("squares", count=50)
    row = page.locator(f'tr[data-run="{run_id}"]')
    await expect(row).to_contain_text("Running")
    await row.get_by_role("link").first.click()
    await page.get_by_role("button", name="Cancel run").click()
    await page.get_by_role("button", name="Cancel the run").click()
    await expect(page.get_by_role("status", name="Run state")).to_contain_text("Cancelled")


async def test_what_the_server_refuses_is_said_in_the_form(server: Server, page: Page) -> None:
    await page.goto(f"{server.url}/flows")
    await page.get_by_role("link", name="Run squares").click()
    dialog = page.get_by_role("dialog", name="Run squares")
    await dialog.get_by_role("button", name="Start run").click()
    await expect(dialog).to_contain_text("needs a value")
