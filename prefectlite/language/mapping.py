"""Annotations that say how an argument of a task is taken: as a whole, element by element, or flattened."""

from __future__ import annotations

from typing import Any


class Annotation:
    """A value together with how it is to be taken; annotations nest, and the inner one wins where they disagree."""

    annotations: dict[str, bool] = {}

    def __init__(self, value: Any) -> None:
        inner: dict[str, bool] = {}
        if isinstance(value, Annotation):
            inner, value = value.annotations, value.value
        self.value: Any = value
        self.annotations = {**type(self).annotations, **inner}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class mapped(Annotation):
    """Take the value element by element: the task runs once for each."""

    annotations = {"mapped": True}


class unmapped(Annotation):
    """Take the value as a whole although the task is mapped."""

    annotations = {"mapped": False}


class flatten(Annotation):
    """Take the elements of the value's elements: `[[1, 2], [3]]` as `[1, 2, 3]`."""

    annotations = {"flattened": True}
