from __future__ import annotations

import pytest

from prefectlite import mapped, unmapped
from prefectlite.language.mapping import Annotation


@pytest.mark.parametrize(
    ("annotated", "annotations"),
    [
        (mapped(1), {"mapped": True}),
        (unmapped(1), {"mapped": False}),
        (mapped(unmapped(1)), {"mapped": True}),
        (unmapped(mapped(1)), {"mapped": False}),
        (mapped(unmapped(mapped(1))), {"mapped": True}),
    ],
)
def test_annotations_nest_and_the_outer_one_wins(annotated: Annotation, annotations: dict[str, bool]) -> None:
    assert annotated.value == 1
    assert annotated.annotations == annotations


def test_they_do_not_share_what_they_say() -> None:
    one = mapped(1)
    one.annotations["mapped"] = False
    assert mapped(1).annotations == {"mapped": True}


def test_they_show_what_they_are() -> None:
    assert repr(unmapped([1, "a"])) == "unmapped([1, 'a'])"
    assert repr(mapped(unmapped(1))) == "mapped(1)"
