"""Words, by which lines of logs are found: the same ones in every database.

A word is a run of letters and digits, and each Chinese or Japanese character; letter case does not count, and of a very long
word its beginning does. Databases cut only plain ASCII text into words: of all other text they get what `indexed` says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.lazily import lazily

if TYPE_CHECKING:
    import unicodedata as unicodedata
else:
    unicodedata = lazily("unicodedata")

#: So many characters of a word count: PostgreSQL refuses words of more than 2,046 bytes.
LONGEST_WORD = 255
MOST_WORDS = 100
MOST_CHARACTERS = 1_000
# Written without spaces: cut into characters, a phrase of them is found wherever it stands.
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = rf"[{_SINGLE}]|[^\W_{_SINGLE}]+"  # compiled when the first text is looked at: that takes milliseconds
_TOO_LONG = re.compile(rf"[0-9A-Za-z]{{{LONGEST_WORD + 1}}}")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # would be a part of the word after it
_TERM = re.compile(r'"([^"]*)"?|([^"\s]+)')


class Term(msgspec.Struct, frozen=True):
    """Words that must stand side by side in a line; with `is_prefix`, the last one may go on."""

    words: tuple[str, ...]
    is_prefix: bool = False


def words(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    plain = _COLOUR.sub(" ", text) if "\x1b" in text else text
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", plain)
    return [word[:LONGEST_WORD] for word in re.findall(_WORD, plain.casefold())]


def indexed(message: str) -> str | None:
    """What is to be indexed in place of `message`; None for the message itself, which is nearly always right."""
    is_plain = message.isascii() and "\x1b" not in message
    if is_plain and (len(message) <= LONGEST_WORD or _TOO_LONG.search(message) is None):
        return None
    return " ".join(words(message))


def terms(text: str, path: str) -> list[Term]:
    """What a line must have in it, all of it: `words`, `"a phrase"`, the beginning of a `word*`.

    Everything else separates words: there is no text with an error in it. Raises BadRequest, naming `path`, for too much.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadRequest(f"{path}: a search has at most {MOST_CHARACTERS:,} characters")
    found = []
    for quoted, plain in _TERM.findall(text):
        if together := words(quoted or plain):
            found.append(Term(tuple(together), plain.endswith("*")))
    if sum(len(term.words) for term in found) > MOST_WORDS:
        raise BadRequest(f"{path}: a search has at most {MOST_WORDS} words")
    return found
