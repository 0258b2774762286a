"""Cloud hooks: whom to tell of states, and what came of telling them."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.client.messages import Messages
from prefectlite.clock import Clock, from_micros
from prefectlite.errors import BadRequest, NotFound, SecretUnreadable
from prefectlite.ids import new_id
from prefectlite.lazily import lazily
from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused
from prefectlite.repository import history, hooks
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.hooks import Delivery
from prefectlite.repository.secret_keys import SecretKeys
from prefectlite.states import BY_NAME, FINISHED

if TYPE_CHECKING:
    from prefectlite.notifications import courier as couriers
    from prefectlite.notifications import notice as notices
    from prefectlite.notifications.courier import Courier
    from prefectlite.notifications.notice import Notice
else:  # most processes have no hooks
    couriers, notices = lazily("prefectlite.notifications.courier"), lazily("prefectlite.notifications.notice")

#: Seconds after each failed attempt until the next one; after the last of them it is given up.
DELAYS = (10, 60, 300, 1800, 7200)
#: Seconds within which who began an attempt will have said what came of it; afterwards it is taken for dead.
ATTEMPT = 60
#: A word for all states that a run can end in.
ENDED = "FINISHED"
_SECOND = 1_000_000
_KNOWN = {name.upper(): name for name in BY_NAME}
_logger = logging.getLogger("prefectlite.hooks")


class CloudHooks:
    """Hooks by their ids. What may be secret in them is encrypted, and never shown."""

    def __init__(self, database: Database, clock: Clock, keys: SecretKeys, messages: Messages) -> None:
        self._database, self._clock, self._keys, self._messages = database, clock, keys, messages
        #: Set when hooks were changed here, or there is more to be delivered than what is in the history, for who delivers.
        self.has_changed = asyncio.Event()

    async def create(
        self,
        courier: Courier,
        kind: str,
        states: Iterable[str],
        config: Any,
        *,
        name: str | None = None,
        version_group_id: str | None = None,
    ) -> str:
        """The id of a new hook, which `courier` could deliver to; without a version group it is of all flows.

        Raises BadRequest for states that there are not, and a config that it cannot be used with, NotFound for the group.
        """
        wanted, checked = checked_states(states), await asyncio.to_thread(courier.checked, kind, config)
        hook_id = new_id()
        sealed = await asyncio.to_thread(self._keys.sealed, hooks.sealed_as(hook_id), checked)

        async def work(tx: Transaction) -> None:
            group = None if version_group_id is None else await hooks.group_named(tx, version_group_id)
            texts = (_json(wanted), _json(couriers.shown(kind, checked)))
            await hooks.create(tx, (hook_id, group, name, kind, *texts, sealed, self._clock.micros()))

        await self._database.write(work, durable=True)
        self.has_changed.set()
        return hook_id

    async def set_active(self, hook_id: str, *, is_active: bool) -> None:
        """Switch a hook on, for states from now on, or off: what is still to be delivered is given up. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await hooks.set_active(tx, hook_id, self._clock.micros(), is_active=is_active)

        await self._database.write(work, durable=True)
        self.has_changed.set()

    async def delete(self, hook_id: str) -> None:
        """Delete a hook. Raises NotFound, and BadRequest if an automation notifies it."""

        async def work(tx: Transaction) -> None:
            await hooks.delete(tx, hook_id)

        await self._database.write(work, durable=True)

    async def test(
        self, courier: Courier, hook_id: str, *, flow_run_id: str | None = None, state: str = "Success"
    ) -> str | None:
        """None if the hook has taken a message, marked as a test, at once; else why not. Raises NotFound.

        It is about this run and the state it is in; without a run, about one that is made up, in `state`.
        """
        await hooks.target(self._database, hook_id)
        if flow_run_id is not None and await history.told(self._database, flow_run_id, None) is None:
            raise NotFound(f"Flow run {flow_run_id} not found")
        delivery = Delivery(new_id(), hook_id, flow_run_id, None, None, 0)

        async def work(tx: Transaction) -> None:
            await hooks.add_delivery(tx, delivery, self._clock.micros(), None)

        await self._database.write(work)
        return await self.attempt(courier, delivery, test=state)

    async def send(self, delivery: Delivery) -> None:
        """Have something delivered, unless it is known already. Raises DeliveryRefused if the hook is switched off."""
        _, _, is_active = await hooks.target(self._database, delivery.cloud_hook_id)
        if not is_active:
            raise DeliveryRefused("The hook is switched off")
        now = self._clock.micros()

        async def work(tx: Transaction) -> None:
            await hooks.add_delivery(tx, delivery, now, now)

        await self._database.write(work)
        self.has_changed.set()

    async def attempt(self, courier: Courier, delivery: Delivery, *, test: str | None = None) -> str | None:
        """Try to deliver something, and write down what came of it: None, or why it was not delivered.

        It is tried again later, but for a `test` (the state that it speaks of). Does nothing if somebody else tries it.
        """
        now = self._clock.micros()

        async def begin(tx: Transaction) -> bool:
            return await hooks.begin_attempt(tx, delivery, now, now + ATTEMPT * _SECOND)

        if not await self._database.write(begin):
            return None
        error = await self._try(courier, delivery, test)
        status, again = "Delivered", None
        if error is not None:
            is_last = isinstance(error, DeliveryRefused) or test is not None or delivery.attempts >= len(DELAYS)
            status = "Failed" if is_last else "Pending"
            again = None if is_last else self._clock.micros() + DELAYS[delivery.attempts] * _SECOND
            _log(delivery, error, is_last=is_last)
        told = None if error is None else str(error)

        async def end(tx: Transaction) -> None:
            await hooks.end_attempt(tx, delivery.id, self._clock.micros(), status, told, again)

        await self._database.write(end)
        return told

    async def _try(self, courier: Courier, delivery: Delivery, test: str | None) -> Exception | None:
        """Why it could not be delivered; None if it was."""
        try:
            notice = await self._notice(delivery, test)
            kind, sealed, is_active = await hooks.target(self._database, delivery.cloud_hook_id)
            if not is_active and test is None:
                return DeliveryRefused("The hook is switched off")
            name = hooks.sealed_as(delivery.cloud_hook_id)
            config = await asyncio.to_thread(self._keys.opened, name, sealed)
            if kind == couriers.MESSAGE:
                await self._messages.add(delivery.id, "CLOUD_HOOK", notice.headline(), {"event": notice.event()})
            else:
                await courier.deliver(kind, config, notice)
        except (DeliveryError, SecretUnreadable) as error:
            return error
        except NotFound as error:
            return DeliveryRefused(str(error))
        except Exception as error:  # nothing that is in a hook may stop the others
            _logger.exception("delivery %s to cloud hook %s failed", delivery.id, delivery.cloud_hook_id)
            return DeliveryError(f"{type(error).__name__}: the log of the server has more")
        return None

    async def _notice(self, delivery: Delivery, test: str | None) -> Notice:
        """What the message says. Raises NotFound if the run is gone."""
        now = from_micros(self._clock.micros()).isoformat()
        reason = await hooks.reason(self._database, delivery.automation_id)
        if delivery.flow_run_id is None:
            told = _made_up(test or "Success", now)
        elif (found := await history.told(self._database, delivery.flow_run_id, delivery.seq)) is not None:
            told = found
        else:
            raise NotFound(f"Flow run {delivery.flow_run_id} not found")
        return notices.Notice(
            delivery.id, now, told.flow_run, told.state, told.flow, history.tenant(), reason, is_test=test is not None
        )


def checked_states(states: Iterable[str]) -> list[str]:
    """Names of states, in upper case and in order. Raises BadRequest for one that there is not."""
    found = set()
    for state in states:
        name = state.upper()
        if name not in _KNOWN and name != ENDED:
            near = difflib.get_close_matches(name, [*_KNOWN, ENDED], n=1)
            raise BadRequest(f"states: there is no state {state!r}" + (f"; did you mean {near[0]}?" if near else ""))
        found.add(name)
    return sorted(found)


def is_among(state: str, states: Iterable[str]) -> bool:
    """Whether a state is one of these, which are in upper case; FINISHED is any that a run ends in."""
    return state.upper() in states or (ENDED in states and state in FINISHED)


def _made_up(state: str, now: str) -> history.Told:
    nobody = "00000000-0000-0000-0000-000000000000"
    times = {"scheduled_start_time": now, "start_time": now, "end_time": None}
    return history.Told(
        {"id": nobody, "name": "test-run", "version": 1, **times, "labels": [], "parameters": {}},
        {"id": nobody, "name": "Test Flow", "version": 1, "version_group_id": nobody, "project_id": nobody},
        {"state": state, "message": "This is a test.", "timestamp": now, "version": 1},
    )


def _log(delivery: Delivery, error: Exception, *, is_last: bool) -> None:
    place = f"delivery {delivery.id} to cloud hook {delivery.cloud_hook_id}"
    if is_last:
        _logger.error("%s was given up after %s attempt(s): %s", place, delivery.attempts + 1, error)
    else:
        _logger.warning("%s is tried again in %s s: %s", place, DELAYS[delivery.attempts], error)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
