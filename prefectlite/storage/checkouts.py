"""Repositories' files on this machine: one directory for each commit, in the user's data directory, and never changed.

A directory is made under another name and gets its own once it is whole, so that processes which want the same commit do not
disturb each other. Those that no run has used for a month go.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefectlite.errors import FlowSourceMissing
from prefectlite.settings import default_directory
from prefectlite.storage.git_command import GitRefused, Remote, git

#: Seconds after which a commit that nobody used is forgotten.
KEPT = 30 * 86400.0

_WHOLE = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def checkouts() -> Path:
    """The directory that all of them are in."""
    return default_directory().expanduser().absolute() / "git"


def checkout_path(repository: str, commit: str) -> Path:
    """Where the files of a commit are, or are going to be."""
    return checkouts() / hashlib.sha256(repository.encode()).hexdigest()[:24] / commit


def commit_of(remote: Remote, ref: str) -> str:
    """The whole id of the commit that `ref` names now: a full name such as refs/heads/main, HEAD, or a commit's id.

    Raises FlowSourceMissing if there is none.
    """
    if _WHOLE.fullmatch(ref):
        return ref
    if ref == "HEAD" or ref.startswith("refs/"):
        return _listed(remote, ref)
    return _abbreviated(remote, ref)


def check_out(repository: str, commit: str, remote: Callable[[], Remote], depth: int = 1) -> Path:
    """The directory with the files of a commit, which are fetched from `remote()` if they are not here yet.

    Raises FlowSourceMissing if there is no such commit, or no way to it.
    """
    path = checkout_path(repository, commit)
    if not path.is_dir():
        there = remote()
        with_new_repository(path.parent, lambda made: _fetched(there, commit, depth, made, path))
        _forget_unused(path.parent)
    with suppress(OSError):
        os.utime(path)  # it is in use
    return path


def with_new_repository(parent: Path, work: Callable[[Path], Any]) -> Any:
    """What `work` gives, called with a directory of its own, which is removed after it if it is still there."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = parent / f".{secrets.token_hex(8)}"
    made.mkdir(mode=0o700)
    try:
        return work(made)
    finally:
        _remove(made)


def _listed(remote: Remote, ref: str) -> str:
    # `refs/tags/x^{}` is the commit of a tag that is an object of its own.
    lines = git(remote, "ls-remote", "--quiet", "--", remote.url, ref, f"{ref}^{{}}").splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    commit = found.get(f"{ref}^{{}}") or found.get(ref)
    if commit is None or not _WHOLE.fullmatch(commit):
        kind, _, name = ref.removeprefix("refs/").partition("/")
        what = {"heads": f"no branch {name!r}", "tags": f"no tag {name!r}"}.get(kind, "no commit")
        raise FlowSourceMissing(f"{remote.name}: there is {what} in it: push it, or name another one")
    return commit


def _abbreviated(remote: Remote, short: str) -> str:
    def resolve(made: Path) -> str:
        _initialize(remote, made)
        _fetch_all(remote, made)
        try:
            return git(remote, "rev-parse", "--verify", "--quiet", f"{short}^{{commit}}", directory=made).strip()
        except GitRefused as error:
            raise _no_commit(remote, short) from error

    commit = with_new_repository(checkouts(), resolve)
    assert isinstance(commit, str)
    return commit


def _fetched(remote: Remote, commit: str, depth: int, made: Path, path: Path) -> None:
    _initialize(remote, made, "sha256" if len(commit) == 64 else "sha1")
    try:
        git(remote, "fetch", *_QUIETLY, f"--depth={depth}", "--", remote.url, commit, directory=made)
    except GitRefused as error:
        if not _names_commit(error.said):
            raise
        _fetch_all(remote, made)  # some servers give only what a branch or tag points at
    try:
        git(remote, "checkout", "--quiet", "--force", "--detach", commit, directory=made)
    except GitRefused as error:
        raise _no_commit(remote, commit) from error
    try:
        made.rename(path)
    except OSError:
        if not path.is_dir():  # else another process was faster
            raise


_QUIETLY = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")


def _initialize(remote: Remote, made: Path, digests: str = "sha1") -> None:
    git(remote, "init", "--quiet", "--template=", f"--object-format={digests}", directory=made)


def _fetch_all(remote: Remote, made: Path) -> None:
    refs = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    git(remote, "fetch", *_QUIETLY, "--", remote.url, *refs, directory=made)


def _names_commit(said: str) -> bool:
    return any(words in said for words in ("not our ref", "unadvertised object", "couldn't find remote ref"))


def _no_commit(remote: Remote, commit: str) -> FlowSourceMissing:
    return FlowSourceMissing(f"{remote.name}: there is no commit {commit} in it: push it, or name another one")


def _forget_unused(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):  # another process is about it
            if path.stat().st_mtime < time.time() - KEPT:
                _remove(path)


def _remove(path: Path) -> None:
    def writable(function: Callable[..., Any], name: str, _: Any) -> None:
        with suppress(OSError):  # git writes its objects so that Windows does not delete them
            Path(name).chmod(stat.S_IWRITE)
            function(name)

    shutil.rmtree(path, onerror=writable)
