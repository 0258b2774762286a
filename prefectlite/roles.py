"""Roles: who may do what through the API. What names none of these sets is for nobody."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a token is for."""

    VIEWER = "viewer"  # sees flows and runs
    AGENT = "agent"  # takes runs, executes them and tells how they go
    OPERATOR = "operator"  # registers, schedules, runs and stops flows, and may do what an agent does
    ADMIN = "admin"  # everything: secrets, tokens, deleting projects


EVERYBODY = frozenset(Role)
#: Those who look at things; agents are given only what they need.
VIEWERS = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
AGENTS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN})
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})
