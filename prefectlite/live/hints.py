"""What processes that share a database tell each other: where in the record there is something new."""

from __future__ import annotations

import msgspec


class Hint(msgspec.Struct, frozen=True):
    """Commits of another process: the states (or log lines) `first` to `last` concern these flow runs; none named: any.

    `slots`: what waits for a slot of a concurrency limit may have got one; `limits`: the limits themselves were changed.
    `deleted`: flow runs were deleted, which leaves nothing in the record to be read. `flow_ids`: flows whose schedule is
    another now.
    """

    first: int
    last: int
    flow_run_ids: list[str]
    logs: bool = False
    slots: bool = False
    limits: bool = False
    deleted: bool = False
    flow_ids: list[str] = []

    @property
    def is_of_states_or_lines(self) -> bool:
        """Whether it is about what `first` and `last` say."""
        return not (self.limits or self.deleted or self.flow_ids)


#: What is said when flow runs were deleted.
DELETED = Hint(0, 0, [], deleted=True)
#: Flow runs that a hint names at the most.
MOST_IDS = 200


class Message(msgspec.Struct, frozen=True):
    """What is sent at once; `sender` is the name of its socket, and `leaving` its last word."""

    sender: str
    hints: list[Hint] = []
    greeting: bool = False
    leaving: bool = False


def merged(hints: list[Hint], new: Hint) -> list[Hint]:
    """`hints` and one more; commits that follow each other without a gap become one hint."""
    if new == DELETED and new in hints:
        return hints
    both = hints and hints[-1].is_of_states_or_lines and new.is_of_states_or_lines
    if both and hints[-1].last + 1 == new.first and hints[-1].logs == new.logs:
        before = hints[-1].flow_run_ids
        ids = list(dict.fromkeys([*before, *new.flow_run_ids])) if before else []
        if len(ids) > MOST_IDS:
            ids = []
        return [*hints[:-1], Hint(hints[-1].first, new.last, ids, new.logs, hints[-1].slots or new.slots)]
    return [*hints, new]
