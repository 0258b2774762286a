"""What a message says: of which run, in which state, and why."""

from __future__ import annotations

from typing import Any

import msgspec

_LONGEST = 2_500  # characters of a run's message in a text; Slack takes 3,000


class Notice(msgspec.Struct, frozen=True):
    """Something that happened to a run. Times are ISO 8601; `id` is the delivery's, the same each time that it is tried."""

    id: str
    timestamp: str
    flow_run: dict[str, Any]  # id, name, version, scheduled_start_time, start_time, end_time, labels, parameters
    state: dict[str, Any]  # state, message, timestamp, version
    flow: dict[str, Any]  # id, name, version, version_group_id, project_id
    tenant: dict[str, Any]  # id, slug
    reason: str | None = None  # of an automation
    is_test: bool = False

    def event(self) -> dict[str, Any]:
        """As Prefect's webhooks have it."""
        event = {
            "id": self.id,
            "timestamp": self.timestamp,
            "type": "FlowRunStateChange",
            "flow_run": self.flow_run,
            "state": self.state,
            "flow": self.flow,
            "tenant": self.tenant,
            "is_test_event": self.is_test,
        }
        return event if self.reason is None else {**event, "reason": self.reason}

    def headline(self) -> str:
        """One line."""
        test = "Test: " if self.is_test else ""
        return f"{test}Flow run {_short(self.flow_run['name'])} of {_short(self.flow['name'])} is {self.state['state']}"

    def lines(self) -> list[str]:
        """What else there is to say."""
        said = [self.reason, _short(self.state["message"], _LONGEST)]
        return [*filter(None, said), f"Flow run {self.flow_run['id']}, at {self.state['timestamp']}"]

    def text(self) -> str:
        """For e-mail."""
        return "\n".join([self.headline(), "", *self.lines(), ""])

    def slack(self) -> dict[str, Any]:
        """Slack's blocks, with a text for where they are not shown."""
        headline = _escaped(self.headline())
        said = _escaped("\n".join(self.lines()))
        return {
            "text": headline,
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": f"*{headline}*"}},
                {"type": "section", "text": {"type": "mrkdwn", "text": said[:_LONGEST]}},
            ],
        }


def _short(text: str | None, most: int = 200) -> str:
    return text if text is not None and len(text) <= most else f"{text[:most]}…" if text else ""


def _escaped(text: str) -> str:
    """`text` without what Slack would take for a link or a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
