"""Direct dependencies: none below the version in which what was known to be unsafe is mended."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import prefectlite

SAFE = {"starlette": (1, 0, 1), "graphql-core": (3, 2, 14), "h11": (0, 16)}


def test_floors() -> None:
    project = tomllib.loads((Path(prefectlite.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    floors = dict(re.findall(r"^([a-z0-9-]+)>=([0-9.]+)", "\n".join(project["dependencies"]), re.MULTILINE))
    assert len(floors) == len(project["dependencies"]), "each has a floor"
    for name, safe in SAFE.items():
        assert tuple(map(int, floors[name].split("."))) >= safe
