"""Git repositories for tests, made by the git command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")


class Repository:
    """A bare repository in a directory of its own, and a working copy beside it that is pushed there."""

    def __init__(self, home: Path, name: str = "flows") -> None:
        self.bare, self.work = home / f"{name}.git", home / f"{name}.work"
        self.git("init", "--quiet", "--bare", str(self.bare), directory=home)
        self.git("init", "--quiet", str(self.work), directory=home)

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    def commit(self, files: Mapping[str, str] | None = None, *, branch: str = "main", tag: str | None = None) -> str:
        """The id of a commit with these files, which was pushed."""
        self.git("checkout", "--quiet", "-B", branch)
        for name, text in (files or {}).items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change")
        if tag is not None:
            self.git("tag", "--annotate", "-m", tag, tag)
        self.git("push", "--quiet", "--force", "--tags", str(self.bare), f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str, directory: Path | None = None) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", *_IDENTITY, *arguments]
        done = subprocess.run(
            command, cwd=directory or self.work, env=environ, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()
