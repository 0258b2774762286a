"""The seal on results that lie outside the database: only what was written with the same key is read back.

A file has the seal, the encoding as a line, and the value's bytes; its name is the SHA-256 of what follows the seal. Anybody
who can write files there could otherwise plant a pickle, which is code.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple

from prefectlite.errors import SerializationError
from prefectlite.records import ELSEWHERE, ResultRecord
from prefectlite.repository.key_file import made_key, read_key
from prefectlite.results.pieces import Outgoing, digest_of

_KEY_BYTES = 32
_SEAL_BYTES = DIGEST_BYTES = hashlib.sha256().digest_size
ENCODINGS = ("msgpack", "cloudpickle")


class Sealed(NamedTuple):
    """A result as a file has it: `head` and then the result's own bytes."""

    digest: bytes
    head: bytes


class Seal:
    """Seals results with the key in the file `key_file`, which is made, readable by its owner only, if there is none."""

    def __init__(self, key_file: Path) -> None:
        self.key_file = key_file
        self._known: bytes | None = None
        self._reading = threading.Lock()

    def sealed(self, result: ResultRecord) -> Sealed:
        """`result`, which has data, as a file has it. Raises OSError if there is no key and none can be made."""
        assert result.data is not None
        digest = digest_of(result.encoding, result.data)
        return Sealed(digest, self.head(result.encoding, digest))

    def head(self, encoding: str, digest: bytes) -> bytes:
        """What the file of a result begins with, before the result's own bytes. Raises OSError as `sealed` does."""
        return hmac.digest(self._key(), digest, "sha256") + f"{encoding}\n".encode()

    def outgoing(self, file: BinaryIO, size: int, digest: bytes, encoding: str) -> Outgoing:
        """The result in an open file of this size. Raises SerializationError, the file closed, if it has another head."""
        try:
            return Outgoing(file, size - self._check_head(file, digest, encoding))
        except BaseException:
            file.close()
            raise

    def _check_head(self, file: BinaryIO, digest: bytes, encoding: str) -> int:
        """The length of the head, which is read."""
        expected = self.head(encoding.removesuffix(ELSEWHERE), digest)
        if encoding.removesuffix(ELSEWHERE) not in ENCODINGS or not hmac.compare_digest(file.read(len(expected)), expected):
            raise SerializationError(f"it was not written with the key in {self.key_file}, or has been damaged")
        return len(expected)

    def opened(self, content: bytes, digest: bytes, encoding: str) -> ResultRecord:
        """The result in a file. Raises SerializationError if it is not the one with this digest, or has not our seal."""
        view = memoryview(content)
        if hashlib.sha256(view[_SEAL_BYTES:]).digest() != digest:
            raise SerializationError("it has been altered or damaged since it was written")
        if not hmac.compare_digest(hmac.digest(self._key(), digest, "sha256"), content[:_SEAL_BYTES]):
            raise SerializationError(f"it was not written with the key in {self.key_file}")
        line = f"{encoding.removesuffix(ELSEWHERE)}\n".encode()
        if encoding.removesuffix(ELSEWHERE) not in ENCODINGS or content[_SEAL_BYTES : _SEAL_BYTES + len(line)] != line:
            raise SerializationError(f"it is not what the record says it is ({encoding})")
        return ResultRecord(encoding.removesuffix(ELSEWHERE), content[_SEAL_BYTES + len(line) :])

    def folder(self) -> str:
        """A name that others get only with the same key: where several databases share a place, each has its own folder."""
        return hmac.digest(self._key(), b"folder", "sha256")[:8].hex()

    def _key(self) -> bytes:
        with self._reading:
            if self._known is None:
                self._known = read_key(self.key_file, _KEY_BYTES) or made_key(
                    self.key_file, _KEY_BYTES, lambda: secrets.token_bytes(_KEY_BYTES)
                )
            return self._known
