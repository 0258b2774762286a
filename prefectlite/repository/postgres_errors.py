"""What PostgreSQL and the way to it can answer, told apart: it is out of reach, or its caller was wrong."""

from __future__ import annotations

import asyncpg

#: Classes of errors (the first two characters of a code) that are not the caller's: connection, roles, no such database,
#: deadlock, resources (a full disk), operator intervention (a restart), system errors, damage.
_OUT_OF_REACH = ("08", "28", "3D", "40", "53", "57", "58", "F0", "XX")
#: Read only (a standby), no right to, waited for a lock or slept in a transaction for too long, a statement made stale.
_CODES = ("25006", "42501", "55P03", "25P03", "0A000")
#: The server is there and says no, and will say so again: wrong password or role, no such database, no right to.
_FINAL = ("28", "3D", "42")


def is_out_of_reach(error: BaseException) -> bool:
    """Whether the database cannot be used, rather than being used wrongly."""
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate or "XX000")
        return code[:2] in _OUT_OF_REACH or code in _CODES
    if isinstance(error, OSError | EOFError):
        return True
    # When a server dies, asyncpg raises what its own state machine makes of that. Those that are ValueErrors, too, are
    # about what it was given.
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(error, ValueError)


def is_final(error: BaseException) -> bool:
    """Whether trying again will not help."""
    return isinstance(error, asyncpg.PostgresError) and str(error.sqlstate or "")[:2] in _FINAL


def is_lost(error: BaseException) -> bool:
    """Whether the connection on which this happened is of no more use."""
    return not isinstance(error, asyncpg.PostgresError) or str(error.sqlstate or "XX")[:2] in ("08", "57", "XX")


def reason(error: BaseException) -> str:
    """What went wrong, in the server's words."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"{error} (prefectlite's role needs the right to make tables there, once, and to use them)"
    return str(error) or type(error).__name__
