"""Whose turn it is: what an agent asks before it begins a run that is due."""

from __future__ import annotations

from typing import Protocol

from prefectlite.records import FlowRunRow


class Turns(Protocol):
    """Lets runs begin one after another where the schedules of their flows say so."""

    async def may_begin(self, row: FlowRunRow) -> bool:
        """Whether a run that is due may begin now."""
        ...

    async def leave(self, row: FlowRunRow) -> None:
        """A run is for agents with other labels."""
        ...

    def gone(self, run_id: str) -> None:
        """A run has ended, was put off or deleted."""
        ...
