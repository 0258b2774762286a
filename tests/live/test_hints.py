"""What processes tell each other, put together."""

from __future__ import annotations

from prefectlite.live.hints import DELETED, Hint, merged

LIMITS = Hint(0, 0, [], limits=True, slots=True)


def told(*hints: Hint) -> list[Hint]:
    found: list[Hint] = []
    for hint in hints:
        found = merged(found, hint)
    return found


def test_commits_that_follow_each_other_are_one_hint() -> None:
    assert told(Hint(3, 4, ["a"]), Hint(5, 5, ["b"], slots=True)) == [Hint(3, 5, ["a", "b"], slots=True)]
    assert len(told(Hint(3, 4, ["a"]), Hint(6, 6, ["b"]))) == 2


def test_what_has_no_place_in_the_sequence_stands_alone() -> None:
    assert told(DELETED, Hint(1, 1, ["a"])) == [DELETED, Hint(1, 1, ["a"])]
    assert told(LIMITS, Hint(1, 1, ["a"])) == [LIMITS, Hint(1, 1, ["a"])]
    assert told(Hint(1, 1, ["a"]), LIMITS, DELETED) == [Hint(1, 1, ["a"]), LIMITS, DELETED]


def test_deletions_are_told_once() -> None:
    assert told(DELETED, Hint(1, 1, ["a"]), DELETED, DELETED) == [DELETED, Hint(1, 1, ["a"])]
