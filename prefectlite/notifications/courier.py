"""Delivers notices: by webhook, to Slack, by e-mail."""

from __future__ import annotations

from typing import Any

from prefectlite.errors import BadRequest
from prefectlite.notifications import mail
from prefectlite.notifications.addresses import Resolve, resolve
from prefectlite.notifications.delivery import DeliveryRefused
from prefectlite.notifications.notice import Notice
from prefectlite.notifications.post import TIMEOUT, checked_url, post
from prefectlite.settings import Settings

#: The kind of hooks whose notices become messages in the record: they need nobody to deliver them.
MESSAGE = "PREFECT_MESSAGE"
#: The kinds of hooks, each with what its config has to say.
KINDS = {"WEBHOOK": "url", "SLACK_WEBHOOK": "url", "EMAIL": "to", MESSAGE: None}
_EVENT_ID = "X-PREFECT-EVENT-ID"


class Courier:
    """Knows the ways that the settings allow; `resolve` finds the addresses of a host."""

    def __init__(self, settings: Settings, *, resolve: Resolve = resolve, timeout: float = TIMEOUT) -> None:
        self._settings, self._resolve, self._timeout = settings, resolve, timeout

    def checked(self, kind: str, config: Any) -> dict[str, Any]:
        """`config`, if a hook of this kind can be used with it. Raises BadRequest."""
        wanted = KINDS[kind]
        if wanted is None:
            if config != {}:
                raise BadRequest(f"config: a hook of type {kind} needs nothing")
            return {}
        if not isinstance(config, dict) or set(config) != {wanted}:
            raise BadRequest(f"config: a hook of type {kind} needs {wanted}, and nothing else")
        if wanted == "to":
            return {"to": mail.checked_recipients(config["to"])}
        return {"url": checked_url(config["url"], allow_private=self._settings.hook_allow_private)}

    async def deliver(self, kind: str, config: dict[str, Any], notice: Notice) -> None:
        """Return when the other side has taken a notice. Raises DeliveryError, DeliveryRefused where trying is no use."""
        if kind == "EMAIL":
            letter = mail.Letter(config["to"], notice.headline(), notice.text(), notice.id)
            await mail.send(letter, smtp_url=self._settings.smtp_url, sender=self._settings.mail_from)
        elif KINDS.get(kind) == "url":
            message = notice.slack() if kind == "SLACK_WEBHOOK" else {"event": notice.event()}
            await post(
                config["url"],
                message,
                {_EVENT_ID: notice.id},
                allow_private=self._settings.hook_allow_private,
                resolve=self._resolve,
                timeout=self._timeout,
            )
        else:
            raise DeliveryRefused(f"There are no hooks of type {kind}")


def shown(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """What may be shown of a config: not the path of a URL, which often is as good as a password."""
    if KINDS[kind] != "url":
        return config
    scheme, _, rest = str(config["url"]).partition("://")
    host, slash, _ = rest.partition("/")
    host, mark, _ = host.partition("?")
    host = host.rpartition("@")[2]
    return {"url": f"{scheme}://{host}" + ("/***" if slash or mark else "")}
