"""The way to `execution`, which is loaded late: graphene takes a quarter of a second to import, and health must not wait."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

import anyio.to_thread

if TYPE_CHECKING:
    from prefectlite.api.execution import Execution
    from prefectlite.session import Session


class Gateway:
    """One application's execution, made when it is first needed or warmed up."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._execution: Execution | None = None
        self._loading = asyncio.Lock()

    async def execution(self) -> Execution:
        """What runs operations; the first call imports the schema, in a thread."""
        if self._execution is None:
            async with self._loading:
                if self._execution is None:
                    module = await anyio.to_thread.run_sync(importlib.import_module, "prefectlite.api.execution")
                    self._execution = module.Execution(self.session)
        assert self._execution is not None
        return self._execution
