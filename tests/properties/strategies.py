"""Random sketches of flows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.properties.sketches import Node, Reaction, Sketch, Source, Step

VALUES: list[Step] = [["number"], ["list", 0], ["list", 2], ["list", 3], ["nested", 2], ["nested", 3], ["echo"]]
ERRORS: list[Step] = [["error", "ValueError"], ["error", "KeyError"]]
SIGNALS: list[Step] = [
    *(["signal", name, result] for name in ("FAIL", "SKIP", "SUCCESS", "RETRY") for result in (False, True)),
    ["signal", "LOOP", True], ["signal", "TRIGGERFAIL", False], ["signal", "PAUSE", False],
]  # fmt: skip
ENDS: list[Step] = [["endrun", name] for name in ("Success", "Failed", "Skipped", "Cancelled")]
TRIGGERS: list[Step] = [
    ["all_successful"], ["all_failed"], ["any_successful"], ["any_failed"], ["all_finished"], ["always_run"],
    ["not_all_skipped"], ["manual_only"],
]  # fmt: skip
#: What a handler may do about a state of each name.
SEEN = ("Running", "Success", "Failed", "Skipped", "TriggerFailed", "Retrying", "Looped", "Mapped", "Cancelled", "Paused")
LIMITS = [None, 0.5, 1, 2]

constants = st.sampled_from([0, 7, [], [1, 2], [[1], [2, 3]], "ab", None])
mapped_constants = st.sampled_from([[], [1, 2], [3, 4, 5], [[1], [2, 3]], 5, "ab"])


def mostly(usual: Any, *others: Any) -> Any:
    """`usual` in three of four cases."""
    return st.integers(0, 3).flatmap(lambda n: usual if n else st.one_of(*others))


steps = mostly(st.sampled_from(VALUES), st.sampled_from(ERRORS), st.sampled_from(SIGNALS), st.sampled_from(ENDS))
attempts = st.lists(steps, min_size=1, max_size=3)
rounds = st.lists(attempts, min_size=1, max_size=2)
scripts = st.lists(rounds, min_size=1, max_size=3)

triggers = mostly(
    st.just(["all_successful"]),
    st.sampled_from(TRIGGERS),
    st.tuples(st.sampled_from(["some_failed", "some_successful"]), st.sampled_from(LIMITS), st.sampled_from(LIMITS)).map(
        list
    ),
)

actions = st.one_of(
    st.sampled_from([["nothing"], ["same"], ["error"]]),
    st.sampled_from(
        [["return", name] for name in ("Success", "Failed", "Skipped", "TriggerFailed", "Cancelled", "Retrying")]
    ),
    st.sampled_from(
        [["signal", name, result] for name in ("FAIL", "SKIP", "SUCCESS", "RETRY") for result in (False, True)]
        + [["signal", "LOOP", True], ["signal", "PAUSE", False]]
    ),
    st.sampled_from(ENDS),
)
reactions = st.builds(Reaction, st.sampled_from(SEEN), actions, st.integers(1, 2))

final_states = st.sampled_from(
    [["Success", "given", [1, 2]], ["Success", None, 3], ["Failed", "given", 4], ["Skipped", "given", None],
     ["TriggerFailed", "given", None], ["Cancelled", "given", None]]
)  # fmt: skip
waiting_states = st.sampled_from([["Pending", "given", None], ["Resume", "given", None], ["Retrying", "given", 1]])


@st.composite
def sources(draw: st.DrawFn, number: int, place: int, deep: bool = False) -> Source:
    """A source for node `number`, as its `place`-th."""
    kinds = ["node"] * 6 + ["constant", "list", "tuple", "dict"] if number else ["constant"]
    kind = draw(st.sampled_from(["node", "constant"] if deep and number else ["constant"] if deep else kinds))
    key = None if deep else f"x{place}"
    if kind == "node":
        keyed = deep or draw(st.integers(0, 3)) > 0
        wiring = draw(st.sampled_from(["plain"] * 4 + ["mapped"] * 4 + ["flat", "flat and mapped"])) if not deep else "plain"
        upstream = draw(st.integers(0, number - 1))
        return Source("node", upstream, key if keyed else None, "mapped" in wiring, "flat" in wiring)
    is_mapped = not deep and draw(st.booleans())
    if kind == "constant":
        return Source("constant", draw(mapped_constants if is_mapped else constants), key, is_mapped)
    items = draw(st.lists(sources(number, 0, deep=True), min_size=1, max_size=2))
    if not any(item.kind == "node" for item in items):
        items.append(Source("node", draw(st.integers(0, number - 1))))
    return Source(kind, items, key, is_mapped and kind != "dict")


@st.composite
def nodes(draw: st.DrawFn, number: int, resume: bool) -> Node:
    count = draw(st.sampled_from([0, 1, 1, 2, 2, 3]))
    node = Node([draw(sources(number, place)) for place in range(count)])
    node.sources = _once_each(node.sources)
    node.script = draw(scripts)
    node.trigger = draw(triggers)
    if node.trigger == ["manual_only"] and not resume:
        node.trigger = ["all_finished"]
    node.skips = draw(mostly(st.just(True), st.just(False)))
    node.max_retries = draw(st.sampled_from([0, 0, 0, 1, 2]))
    if node.max_retries:
        node.retry_on = draw(st.sampled_from([[], [], ["ValueError"], ["KeyError", "ValueError"], ["Exception"]]))
    node.reactions = draw(mostly(st.just([]), st.lists(reactions, min_size=1, max_size=3)))
    node.is_async = draw(st.booleans())
    node.workers = draw(mostly(st.none(), st.integers(1, 2)))
    if draw(st.integers(0, 7)) == 0:
        each = st.one_of(final_states, waiting_states)
        children = st.lists(each, max_size=3).map(lambda them: ["Mapped", "given", them])
        node.given = draw(children if node.is_mapped and draw(st.booleans()) else each)
    return node


def _once_each(wires: list[Source]) -> list[Source]:
    """Without a second edge of the same kind from the same node, which would be the same edge."""
    kept: dict[Any, Source] = {}
    for wire in wires:
        kept[wire.kind, repr(wire.value) if wire.key is None else wire.key, wire.key] = wire
    return list(kept.values())


@st.composite
def sketches(draw: st.DrawFn, most: int = 7) -> Sketch:
    """A flow of up to so many tasks."""
    resume = draw(st.integers(0, 5)) == 0
    made = [draw(nodes(number, resume)) for number in range(draw(st.integers(1, most)))]
    reference = draw(mostly(st.just([]), st.sets(st.integers(0, len(made) - 1), max_size=3).map(sorted)))
    workers = draw(st.sampled_from([None, None, 1, 2]))
    coroutines = draw(st.sampled_from([None, None, 1, 2]))
    return Sketch(made, reference, resume, workers, coroutines)
