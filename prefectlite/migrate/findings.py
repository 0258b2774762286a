"""What was found in a file."""

from __future__ import annotations

from typing import Literal

import msgspec

#: `change` is made by --write, `differs` runs and behaves otherwise, `unsupported` does not run as it stands.
Kind = Literal["change", "differs", "unsupported"]


class Finding(msgspec.Struct, frozen=True, order=True):
    """Something at a place in a file; lines and columns count from 1. `mend` is what it becomes, or what to do."""

    file: str
    line: int
    column: int
    kind: Kind
    what: str
    mend: str


class Edit(msgspec.Struct, frozen=True, order=True):
    """The bytes of a file from `start` to `end` are to become `text`."""

    start: int
    end: int
    text: str
