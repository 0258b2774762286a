from __future__ import annotations

import pytest

from prefectlite import mapped, unmapped
from prefectlite.language.mapping import Annotation, flatten


@pytest.mark.parametrize(
    ("annotated", "annotations"),
    [
        (mapped(1), {"mapped": True}),
        (unmapped(1), {"mapped": False}),
        (flatten(1), {"flattened": True}),
        (mapped(unmapped(1)), {"mapped": False}),
        (unmapped(mapped(1)), {"mapped": True}),
        (mapped(unmapped(mapped(1))), {"mapped": True}),
        (flatten(mapped(1)), {"mapped": True, "flattened": True}),
        (mapped(flatten(unmapped(1))), {"mapped": False, "flattened": True}),
    ],
)
def test_annotations_nest_and_the_inner_one_wins(annotated: Annotation, annotations: dict[str, bool]) -> None:
    assert annotated.value == 1
    assert annotated.annotations == annotations


def test_they_do_not_share_what_they_say() -> None:
    one = mapped(1)
    one.annotations["mapped"] = False
    assert mapped(1).annotations == {"mapped": True}


def test_they_show_what_they_are() -> None:
    assert repr(unmapped([1, "a"])) == "unmapped([1, 'a'])"
    assert repr(mapped(unmapped(1))) == "mapped(1)"
