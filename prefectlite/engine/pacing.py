"""How fast a run begins its units: the loop serves everybody else in between, and few are in memory at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prefectlite.orchestrator.protocols import Orchestrator

#: Units begun in one turn of the loop.
AT_ONCE = 100
#: While more proposals than these wait to be decided, beginning more units would only make more of them wait.
CROWD = 1_000
#: Seconds after which a crowd is looked at again.
BREATH = 0.01


class Pace:
    """Says how many units may be begun now; `go_on` is called when more of them may be."""

    def __init__(self, orchestrator: Orchestrator, go_on: Callable[[], None]) -> None:
        self._orchestrator, self._go_on = orchestrator, go_on
        self._rests = False

    def room(self) -> int:
        """How many may be begun at once."""
        return 0 if self._rests or self._is_crowded() else AT_ONCE

    def rest(self) -> None:
        """Begin no more in this turn of the loop."""
        if self._rests:
            return
        self._rests = True
        loop = asyncio.get_running_loop()
        if self._is_crowded():
            loop.call_later(BREATH, self._again)
        else:
            loop.call_soon(self._again)

    def close(self) -> None:
        """Know nothing of the run any more, which has ended here: only the garbage collector would get rid of both."""
        self._go_on = _nobody_waits

    def _is_crowded(self) -> bool:
        return self._orchestrator.waiting > CROWD

    def _again(self) -> None:
        self._rests = False
        self._go_on()


def _nobody_waits() -> None:
    """What a pace goes on with whose run has ended."""
