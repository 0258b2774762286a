"""The keys that secrets are encrypted with: lines of a file outside the database, the newest first.

A secret is encrypted together with its name, so that whoever can write to the database cannot give one secret's value to
another name. The keys are read anew each time: another process may have changed them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefectlite.disk import beside
from prefectlite.errors import SecretUnreadable
from prefectlite.lazily import lazily
from prefectlite.repository.key_file import made_key, read_key, replace_key
from prefectlite.repository.urls import database_key, is_postgres, sqlite_path
from prefectlite.settings import Settings, default_directory

if TYPE_CHECKING:
    from cryptography import fernet
else:
    fernet = lazily("cryptography.fernet")  # 30 ms that only those pay who have secrets

_KEY_CHARACTERS = 44
#: The newest, and the one before it: what a process encrypts while another one changes the key stays readable.
_KEYS_KEPT = 2


class SecretKeys:
    """The keys in the file at `path`, which is made if there is none; without a path, keys that end with the process.

    Everything here blocks and raises SecretUnreadable where there is no key to be had.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def sealed(self, name: str, value: Any) -> str:
        """A secret as the database has it."""
        content = json.dumps([name, value]).encode()
        return self._cipher().encrypt(content).decode()

    def opened(self, name: str, sealed: str) -> Any:
        """The value of a secret. Raises SecretUnreadable if it was encrypted with another key, or under another name."""
        try:
            own_name, value = json.loads(self._cipher().decrypt(sealed.encode()))
        except fernet.InvalidToken:
            raise SecretUnreadable(
                f"Secret {name!r} cannot be decrypted with the key in {self._place()}: bring that key, or set it again"
            ) from None
        if own_name != name:
            raise SecretUnreadable(f"Secret {name!r} in the database is that of another name: set it again")
        return value

    def rotate(self) -> None:
        """Put a new key before those that are there; only it and the one before stay."""
        keys = [fernet.Fernet.generate_key(), *self._keys()][:_KEYS_KEPT]
        if self.path is None:
            raise SecretUnreadable("The keys of a database in memory end with it: there is nothing to rotate")
        try:
            replace_key(self.path, b"\n".join(keys) + b"\n")
        except OSError as error:
            raise SecretUnreadable(f"The keys of secrets cannot be written to {self.path}: {error.strerror}") from error

    def _cipher(self) -> fernet.MultiFernet:
        try:
            return fernet.MultiFernet([fernet.Fernet(key) for key in self._keys()])
        except ValueError:
            raise SecretUnreadable(f"{self._place()} does not hold keys of secrets") from None

    def _keys(self) -> list[bytes]:
        if self.path is None:
            return [_key_of_this_process()]
        try:
            content = read_key(self.path, _KEY_CHARACTERS) or made_key(
                self.path, _KEY_CHARACTERS, lambda: fernet.Fernet.generate_key() + b"\n"
            )
        except OSError as error:
            raise SecretUnreadable(f"The keys of secrets cannot be read from {self.path}: {error.strerror}") from error
        return content.split()

    def _place(self) -> str:
        return "this process" if self.path is None else str(self.path)


def secret_keys(settings: Settings) -> SecretKeys:
    """The keys for the secrets in the database of `settings`. Nothing is read or written yet."""
    if settings.secrets_key_file:
        return SecretKeys(Path(settings.secrets_key_file).expanduser().absolute())
    url = settings.resolved_database_url()
    if is_postgres(url):
        name = hashlib.sha256(database_key(url).encode()).hexdigest()[:16]
        return SecretKeys(default_directory().expanduser().absolute() / f"secrets-{name}.key")
    file = sqlite_path(url)
    return SecretKeys(None if file is None else beside(file, ".secrets.key"))


@functools.cache
def _key_of_this_process() -> bytes:
    return fernet.Fernet.generate_key()
