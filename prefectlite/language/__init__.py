"""How flows are written: graphs of tasks, built by calling tasks inside `with Flow(...)`. Nothing here runs anything."""

from prefectlite.language import collections, operators

# A task can be added to another one, or put into a list: the tasks that stand for this are known from the start.
collections.make_known()
operators.make_known()
