"""Cloud hooks: told of each state at least once, by real servers' answers, whatever happens to the notifier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.client.hooks import DELAYS
from prefectlite.errors import BadRequest, NotFound
from prefectlite.notifications.courier import Courier
from prefectlite.services.notifier import MOST_OF_ONE, Notifier
from prefectlite.settings import Settings
from prefectlite.states import Cancelled, Failed, Running, State
from tests.conftest import HeldClock
from tests.notifications.servers import MailServer, Receiver

pytestmark = pytest.mark.asyncio


@task
def nothing() -> None:
    pass


def flow(name: str) -> Flow:
    with Flow(name) as made:
        nothing()
    return made


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with MailServer().open() as server:
        yield server


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock, mail: MailServer) -> AsyncIterator[Runtime]:
    """Two flows, a clock that stands still, and no services."""
    settings = Settings(
        database_url=database_url, hook_allow_private=True, smtp_url=f"smtp://127.0.0.1:{mail.port}", mail_from="a@b.example"
    )
    async with Runtime([flow("first"), flow("second")], settings=settings, clock=clock, agent=False) as opened:
        yield opened


@asynccontextmanager
async def notifying(runtime: Runtime) -> AsyncIterator[None]:
    service = asyncio.create_task(Notifier(runtime.session).run())
    try:
        yield
    finally:
        assert not service.done(), service.exception()
        service.cancel()
        await asyncio.wait([service])


async def hook(runtime: Runtime, receiver: Receiver, *states: str, kind: str = "WEBHOOK", **more: Any) -> str:
    config = {"url": receiver.url}
    return await runtime.session.client.hooks.create(Courier(runtime.session.settings), kind, states, config, **more)


async def run_of(runtime: Runtime, name: str = "first") -> str:
    rows = await runtime.session.database.read("SELECT id FROM flow WHERE name = $1", (name,))
    return await runtime.session.client.create_flow_run(flow_id=rows[0][0], flow_run_name="the-run")


async def enter(runtime: Runtime, run_id: str, *states: State) -> None:
    for state in states:
        assert not await runtime.session.client.set_flow_run_state(run_id, state)


async def deliveries(runtime: Runtime) -> list[tuple[Any, ...]]:
    sql = "SELECT status, attempts, last_error FROM hook_delivery ORDER BY created, seq"
    return await runtime.session.database.read(sql)


async def until(runtime: Runtime, check: Callable[[list[tuple[Any, ...]]], bool]) -> list[tuple[Any, ...]]:
    """The deliveries, once `check` is true of them."""
    async with asyncio.timeout(20):
        while not check(found := await deliveries(runtime)):  # noqa: ASYNC110 - the record is asked
            await asyncio.sleep(0.01)
    return found


def all_are(status: str, count: int) -> Callable[[list[tuple[Any, ...]]], bool]:
    return lambda found: [row[0] for row in found] == [status] * count


async def test_a_hook_is_told_of_its_states(runtime: Runtime, receiver: Receiver) -> None:
    await enter(runtime, await run_of(runtime), Running())  # before there was a hook
    await hook(runtime, receiver, "failed", "RUNNING")
    async with notifying(runtime):
        run_id = await run_of(runtime)
        await enter(runtime, run_id, Running(), Failed("it <broke>"))
        await until(runtime, all_are("Delivered", 2))
    assert sorted(receiver.states) == ["Failed", "Running"]
    event = next(event for event in receiver.events if event["state"]["state"] == "Failed")
    assert (event["type"], event["is_test_event"], event["tenant"]["slug"]) == ("FlowRunStateChange", False, "default")
    assert (event["flow_run"]["id"], event["flow_run"]["name"], event["flow"]["name"]) == (run_id, "the-run", "first")
    assert (event["state"]["message"], event["state"]["version"]) == ("it <broke>", 3)
    assert event["state"]["timestamp"] == "2024-03-01T12:00:00+00:00"
    assert all(f"X-PREFECT-EVENT-ID: {e['id']}" in head for e, head in zip(receiver.events, receiver.heads, strict=True))


async def test_of_one_flow_and_of_all_ends(runtime: Runtime, receiver: Receiver) -> None:
    database = runtime.session.database
    [(group,)] = await database.read("SELECT version_group_id FROM flow WHERE name = 'second'")
    await hook(runtime, receiver, "FINISHED", version_group_id=group)
    async with notifying(runtime):
        await enter(runtime, await run_of(runtime, "first"), Running(), Failed())
        await enter(runtime, await run_of(runtime, "second"), Running(), Cancelled())
        await until(runtime, all_are("Delivered", 1))
    assert [(event["flow"]["name"], event["state"]["state"]) for event in receiver.events] == [("second", "Cancelled")]


async def test_what_happens_while_nobody_notifies_is_told_later_and_once(runtime: Runtime, receiver: Receiver) -> None:
    await hook(runtime, receiver, "RUNNING", "FAILED")
    run_id = await run_of(runtime)
    await enter(runtime, run_id, Running())
    async with notifying(runtime):
        await until(runtime, all_are("Delivered", 1))
    await enter(runtime, run_id, Failed())
    for _ in range(2):
        async with notifying(runtime):
            await until(runtime, all_are("Delivered", 2))
    assert receiver.states == ["Running", "Failed"]


async def test_two_notifiers_tell_once(runtime: Runtime, receiver: Receiver) -> None:
    await hook(runtime, receiver, "RUNNING")
    async with notifying(runtime), notifying(runtime):
        for _ in range(10):
            await enter(runtime, await run_of(runtime), Running())
        await until(runtime, all_are("Delivered", 10))
    assert len(receiver.bodies) == 10


async def test_an_attempt_that_was_cut_off_is_made_again_with_the_same_id(
    runtime: Runtime, receiver: Receiver, clock: HeldClock
) -> None:
    await hook(runtime, receiver, "RUNNING")
    receiver.may_answer.clear()
    async with notifying(runtime):
        await enter(runtime, await run_of(runtime), Running())
        await receiver.has(1)
    receiver.may_answer.set()
    async with notifying(runtime):
        await clock.sleeper()
        clock.advance(61)
        await until(runtime, all_are("Delivered", 1))
    first, second = receiver.events
    assert first["id"] == second["id"]


async def test_retries(runtime: Runtime, receiver: Receiver, clock: HeldClock, caplog: pytest.LogCaptureFixture) -> None:
    await hook(runtime, receiver, "RUNNING")
    receiver.status = 500
    noted = "SELECT status, attempts, last_error, next_attempt FROM hook_delivery"
    async with notifying(runtime):
        await enter(runtime, await run_of(runtime), Running())
        for attempt, delay in enumerate(DELAYS, 1):
            due = clock.micros() + delay * 1_000_000
            said = [("Pending", attempt, "127.0.0.1 answered with HTTP 500", due)]
            async with asyncio.timeout(20):
                while await runtime.session.database.read(noted) != said:  # noqa: ASYNC110 - the record is asked
                    await asyncio.sleep(0.01)
            await clock.sleeper()
            clock.advance(delay)
        await until(runtime, all_are("Failed", 1))
    assert len(receiver.bodies) == len(DELAYS) + 1 == 6
    assert len({event["id"] for event in receiver.events}) == 1
    [given_up] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "was given up after 6 attempt(s): 127.0.0.1 answered with HTTP 500" in given_up.getMessage()
    assert "secret-path" not in caplog.text


async def test_one_that_hangs_does_not_hold_up_the_others(runtime: Runtime) -> None:
    async with Receiver().open() as slow, Receiver().open() as quick:
        slow.hangs = True
        await hook(runtime, slow, "RUNNING")
        await hook(runtime, quick, "RUNNING")
        async with notifying(runtime):
            for _ in range(30):
                await enter(runtime, await run_of(runtime), Running())
            await quick.has(30)
        assert slow.most_at_once == MOST_OF_ONE


async def test_off_and_on(runtime: Runtime, receiver: Receiver) -> None:
    hook_id = await hook(runtime, receiver, "RUNNING")
    hooks = runtime.session.client.hooks
    await enter(runtime, await run_of(runtime), Running())
    await Notifier(runtime.session).read()
    await hooks.set_active(hook_id, is_active=False)
    assert await deliveries(runtime) == [("Failed", 0, "The hook was switched off")]
    await enter(runtime, await run_of(runtime), Running())
    await hooks.set_active(hook_id, is_active=True)
    async with notifying(runtime):
        run_id = await run_of(runtime)
        await enter(runtime, run_id, Running())
        await receiver.has(1)
    assert [event["flow_run"]["id"] for event in receiver.events] == [run_id]
    with pytest.raises(NotFound):
        await hooks.set_active(run_id, is_active=True)


async def test_slack(runtime: Runtime, receiver: Receiver) -> None:
    await hook(runtime, receiver, "FAILED", kind="SLACK_WEBHOOK")
    async with notifying(runtime):
        await enter(runtime, await run_of(runtime), Running(), Failed("<!channel> & all"))
        await receiver.has(1)
    [body] = receiver.bodies
    assert body["text"] == "Flow run the-run of first is Failed"
    assert [block["type"] for block in body["blocks"]] == ["section", "section"]
    assert "&lt;!channel&gt; &amp; all" in body["blocks"][1]["text"]["text"]


async def test_mail(runtime: Runtime, mail: MailServer) -> None:
    courier, config = Courier(runtime.session.settings), {"to": ["c@d.example"]}
    await runtime.session.client.hooks.create(courier, "EMAIL", ["FAILED"], config)
    async with notifying(runtime):
        await enter(runtime, await run_of(runtime), Running(), Failed("it broke"))
        await until(runtime, all_are("Delivered", 1))
    [letter] = mail.letters
    assert "Subject: Flow run the-run of first is Failed" in letter
    assert "it broke" in letter


async def test_a_private_target_is_not_tried_twice(database_url: str, receiver: Receiver, clock: HeldClock) -> None:
    settings = Settings(database_url=database_url)
    async with Runtime([flow("first")], settings=settings, clock=clock, agent=False) as runtime:
        courier = Courier(settings)
        config = {"url": f"https://127.0.0.1:{receiver.port}/"}
        await runtime.session.client.hooks.create(courier, "WEBHOOK", ["RUNNING"], config)
        async with notifying(runtime):
            await enter(runtime, await run_of(runtime), Running())
            [(_, attempts, error)] = await until(runtime, all_are("Failed", 1))
        assert attempts == 1
        assert "messages to private addresses are refused" in error
        with pytest.raises(BadRequest, match="https"):
            await courier_checked(courier, receiver)
    assert receiver.heads == []


async def courier_checked(courier: Courier, receiver: Receiver) -> dict[str, Any]:
    return courier.checked("WEBHOOK", {"url": receiver.url})


async def test_the_url_is_nowhere_in_the_database(runtime: Runtime, receiver: Receiver) -> None:
    hook_id = await hook(runtime, receiver, "RUNNING")
    rows = await runtime.session.database.read("SELECT * FROM cloud_hook")
    assert "secret-path" not in str(rows)
    [(config,)] = await runtime.session.database.read("SELECT config FROM cloud_hook")
    assert config == f'{{"url":"http://127.0.0.1:{receiver.port}/***"}}'

    async def swap(tx: Any) -> None:
        await tx.execute("UPDATE cloud_hook SET sealed = $2 WHERE id = $1", (hook_id, "another"))

    await runtime.session.database.write(swap)
    error = await runtime.session.client.hooks.test(Courier(runtime.session.settings), hook_id)
    assert error is not None
    assert "cannot be decrypted" in error


async def test_keys_of_secrets_are_keys_of_hooks(tmp_path: Any, receiver: Receiver) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", hook_allow_private=True)
    async with Runtime([flow("first")], settings=settings, agent=False) as runtime:
        client = runtime.session.client
        await client.secrets.set("A", "value")
        hook_id = await hook(runtime, receiver, "RUNNING")
        for _ in range(3):  # the first key is gone then
            assert await client.secrets.rotate() == 1
        assert await client.hooks.test(Courier(settings), hook_id) is None
        assert await client.secrets.get("A") == "value"


@pytest.mark.parametrize("states", [["RUNING"], ["FAILED", ""], ["Failed "]])
async def test_states_that_there_are_not(runtime: Runtime, receiver: Receiver, states: list[str]) -> None:
    with pytest.raises(BadRequest, match=r"^states: there is no state "):
        await hook(runtime, receiver, *states)


async def test_a_run_that_is_deleted_takes_its_deliveries_along(runtime: Runtime, receiver: Receiver) -> None:
    await hook(runtime, receiver, "SCHEDULED")
    run_id = await run_of(runtime)
    await Notifier(runtime.session).read()
    await runtime.session.client.flows.delete("flow_run", run_id)
    assert await deliveries(runtime) == []


async def test_nothing_is_lost_in_a_long_history(runtime: Runtime, receiver: Receiver) -> None:
    await hook(runtime, receiver, "SCHEDULED")
    run_id = await run_of(runtime)

    async def pile(tx: Any) -> None:
        sql = (
            "INSERT INTO flow_run_state (seq, id, flow_run_id, version, timestamp, state)"
            " VALUES ($1, $2, $3, $4, 0, 'Scheduled')"
        )
        await tx.executemany(sql, [(1_000 + n, run_id, run_id, 100 + n) for n in range(1_200)])

    await runtime.session.database.write(pile)
    notifier = Notifier(runtime.session)
    await notifier.read()
    await notifier.read()
    assert len(await deliveries(runtime)) == 1_201
