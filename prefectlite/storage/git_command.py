"""The git command, called so that neither a name, a token nor what is in a repository makes it run anything.

Arguments are lists, never text for a shell. A token goes through the environment, so that no list of processes, log or
message shows it. Hooks, templates, prompts and all protocols but those of the setting `git_protocols` are off; what the user
has in their own git configuration, such as a proxy, holds.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from prefectlite.errors import FlowSourceMissing
from prefectlite.masks import Mask

#: Seconds after which git is given up.
PATIENCE = 300.0

#: Variables of git's own that are passed on; others would make it work on another repository, or show what it sends.
_PASSED_ON = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_", "GIT_PROXY_", "GIT_HTTP_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
_HARMLESS = (
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "advice.detachedHead=false"),
    *("-c", "submodule.recurse=false"),
)
_NO_ACCESS = ("Authentication failed", "could not read Username", "could not read Password", "Permission denied", "403")
_NO_REPOSITORY = ("not found", "does not exist", "does not appear to be a git repository", "404")
_UNREACHABLE = ("resolve host", "Could not connect", "Connection", "timed out", "unable to access", "Network is")
_MOVED = ("returned error: 30", "redirect")


class Remote(msgspec.Struct, frozen=True):
    """A repository elsewhere: its address, without what lets one in, and how it is called in messages.

    `origin` is the host's own address, which alone is shown the token. What is confined goes to no other host that its own
    sends it to.
    """

    url: str
    name: str
    protocols: tuple[str, ...]
    origin: str = ""
    username: str = ""
    token: str = ""
    is_confined: bool = False

    def __repr__(self) -> str:
        return f"<Remote {self.name}>"


class GitRefused(FlowSourceMissing):
    """Git ended with an error; `said` is what it had to say."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


def git(remote: Remote, *arguments: str, directory: Path | None = None) -> str:
    """What git prints. Blocks. Raises GitRefused, a FlowSourceMissing that says what to do, if it ends with an error."""
    command = shutil.which("git")
    if command is None:
        raise FlowSourceMissing(f"{remote.name}: there is no git command on this machine: install git")
    done, said = _called([command, *_HARMLESS, *arguments], _environment(remote), directory, remote)
    if done:
        return said
    mask = Mask()
    mask.add([remote.token, _basic(remote)])
    _refuse(remote, mask.hide(said).strip())


def _called(command: Sequence[str], environ: dict[str, str], directory: Path | None, remote: Remote) -> tuple[bool, str]:
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # without a terminal, so that ssh cannot ask there
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        out, wrong = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise FlowSourceMissing(
            f"{remote.name}: git did not come to an end within {PATIENCE:g} seconds: try again"
        ) from None
    except BaseException:
        _kill(process)
        raise
    return process.returncode == 0, wrong if process.returncode else out


def _kill(process: subprocess.Popen[str]) -> None:
    """End git and what it started."""
    with suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _environment(remote: Remote) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(_PASSED_ON)}
    environ = {
        **kept,
        "LC_ALL": "C",  # messages are looked into
        "GIT_ALLOW_PROTOCOL": ":".join(remote.protocols),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_LFS_SKIP_SMUDGE": "1",  # what a repository says of its large files would be asked for elsewhere
    }
    if remote.token:
        # A server that sends one elsewhere would send the token there, too.
        _configure(environ, f"http.{remote.origin}.extraHeader", f"Authorization: Basic {_basic(remote)}")
        _configure(environ, "credential.helper", "")
    if remote.token or remote.is_confined:
        _configure(environ, "http.followRedirects", "false")
    return environ


def _configure(environ: dict[str, str], name: str, value: str) -> None:
    number = int(environ.get("GIT_CONFIG_COUNT", "0"))
    environ |= {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": name,
        f"GIT_CONFIG_VALUE_{number}": value,
    }


def _basic(remote: Remote) -> str:
    return base64.b64encode(f"{remote.username}:{remote.token}".encode()).decode() if remote.token else ""


def _refuse(remote: Remote, said: str) -> NoReturn:
    if _has(said, _NO_ACCESS):
        what = (
            "the token is not taken, or may not read it"
            if remote.token
            else "git is not let in, or there is no such repository: check the name, and give a token with"
            " git_token_secret_name, or use_ssh=True and a key"
        )
    elif _has(said, _MOVED) and remote.token:
        what = "the repository has moved, and a token is not shown to another address: give the new one"
    elif _has(said, _MOVED) and remote.is_confined:
        what = "the repository has moved, and the setting git_hosts keeps git to its own address: give the new one"
    elif _has(said, _NO_REPOSITORY):
        what = "there is no such repository: check its name, and whether it needs a token (git_token_secret_name)"
    elif _has(said, _UNREACHABLE):
        what = "its host cannot be reached: check the name of the host, and the network"
    else:
        what = "git says"
    lines = [line for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "nothing")
    raise GitRefused(
        f"{remote.name}: {what}: {told.strip()}" if what == "git says" else f"{remote.name}: {what} ({told})", said
    )


def _has(said: str, words: Sequence[str]) -> bool:
    return any(word in said for word in words)
