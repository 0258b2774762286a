"""Roles: who may do what through the API. What names none of these sets is for nobody."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a token is for."""

    VIEWER = "viewer"  # sees flows and runs
    RUN = "run"  # the code of one run in a process of its own: sees that run, and what every run may have
    AGENT = "agent"  # takes runs, executes them and tells how they go
    OPERATOR = "operator"  # registers, schedules, runs and stops flows, and may do what an agent does
    ADMIN = "admin"  # everything: secrets, tokens, deleting projects


#: What tokens that people make are for. Those for runs make themselves.
GIVEN = tuple(role for role in Role if role is not Role.RUN)
EVERYBODY = frozenset(Role)
#: All for whom it matters who executes what.
ALL_BUT_RUNS = EVERYBODY - {Role.RUN}
#: Those who look at things; agents are given only what they need.
VIEWERS = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
AGENTS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN})
#: Agents, and the code of runs that they execute.
RUNS = AGENTS | {Role.RUN}
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})
