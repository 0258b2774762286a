"""Automations: what is to happen because of what happens to runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from prefectlite.client.hooks import checked_states
from prefectlite.client.key_values import checked_name
from prefectlite.clock import Clock
from prefectlite.errors import BadRequest
from prefectlite.ids import new_id
from prefectlite.repository import automations
from prefectlite.repository.automations import Automation
from prefectlite.repository.database import Database, Transaction

T = TypeVar("T")
EVENTS = ("STATE", "LATE", "RUNNING")
#: What automations do, each with what it has to be told for it.
ACTIONS = {"NOTIFY": "cloud_hook_id", "RUN_FLOW": "target_flow_group_id", "CANCEL": None, "PAUSE_SCHEDULE": None}
_MOST_SECONDS = 366 * 86_400
_NOTHING = Automation("", "", None, "", [], None, "", None, None, {}, True)
#: With another one of these, or switched on again, it is as if it were new.
_WATCHED = ("flow_group_id", "event", "states")


class Automations:
    """Automations by their ids."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        #: Set when some were changed here, for who keeps an eye on them.
        self.has_changed = asyncio.Event()

    async def create(self, given: Mapping[str, Any]) -> str:
        """The id of a new automation with these fields. Raises BadRequest, naming the field that is amiss, and NotFound."""
        automation = _checked(_with(_NOTHING, {**given, "id": new_id()}))
        await self._write(lambda tx: automations.create(tx, automation, self._clock.micros()))
        return automation.id

    async def update(self, automation_id: str, given: Mapping[str, Any]) -> None:
        """Change these fields of an automation. Raises as `create` does.

        What it has done about a run it does not do again; of another event, it is told from now on.
        """

        async def work(tx: Transaction) -> None:
            known = await automations.by_id(tx, automation_id)
            changed = _checked(_with(known, given))
            anew = any(getattr(known, field) != getattr(changed, field) for field in _WATCHED)
            anew = anew or (changed.is_active and not known.is_active)
            await automations.change(tx, changed, self._clock.micros(), anew=anew)

        await self._write(work)

    async def delete(self, automation_id: str) -> None:
        """Delete an automation and the record of what it did. Raises NotFound."""
        await self._write(lambda tx: automations.delete(tx, automation_id))

    async def _write(self, work: Callable[[Transaction], Awaitable[T]]) -> None:
        await self._database.write(work, durable=True)
        self.has_changed.set()


def _with(automation: Automation, given: Mapping[str, Any]) -> Automation:
    needed = ("name", "event", "action", "is_active")
    for field in needed:
        if field in given and given[field] is None:
            raise BadRequest(f"{field}: a value is needed")
    plain: dict[str, Any] = {"states": [], "parameters": {}}
    values = {field: plain.get(field) if value is None else value for field, value in given.items()}
    return msgspec.structs.replace(automation, **values)


def _checked(automation: Automation) -> Automation:
    checked_name(automation.name, "name")
    if automation.event == "STATE":
        if not automation.states:
            raise BadRequest("states: an automation of STATE needs one at least")
        if automation.seconds is not None:
            raise BadRequest("seconds: an automation of STATE acts at once")
    else:
        if automation.seconds is None or not 1 <= automation.seconds <= _MOST_SECONDS:
            raise BadRequest(f"seconds: an automation of {automation.event} needs from 1 to {_MOST_SECONDS:,} of them")
        if automation.states:
            raise BadRequest(f"states: an automation of {automation.event} has none")
    needed = ACTIONS[automation.action]
    for field in ("cloud_hook_id", "target_flow_group_id"):
        if field == needed and getattr(automation, field) is None:
            raise BadRequest(f"{field}: {automation.action} needs it")
        if field != needed and getattr(automation, field) is not None:
            raise BadRequest(f"{field}: {automation.action} has no use for it")
    if automation.parameters and automation.action != "RUN_FLOW":
        raise BadRequest(f"parameters: {automation.action} has no use for them")
    return msgspec.structs.replace(automation, states=checked_states(automation.states))
