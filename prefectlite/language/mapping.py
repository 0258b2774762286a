"""Annotations that say how an argument of a task is taken: as a whole or element by element."""

from __future__ import annotations

from typing import Any


class Annotation:
    """A value together with how it is to be taken; annotations nest, and the outer one wins where they disagree."""

    annotations: dict[str, bool] = {}

    def __init__(self, value: Any) -> None:
        inner: dict[str, bool] = {}
        if isinstance(value, Annotation):
            inner, value = value.annotations, value.value
        self.value: Any = value
        self.annotations = {**inner, **type(self).annotations}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class mapped(Annotation):
    """Take the value element by element."""

    annotations = {"mapped": True}


class unmapped(Annotation):
    """Take the value as a whole although the task is mapped."""

    annotations = {"mapped": False}
