"""How flows are written: graphs of tasks, built by calling tasks inside `with Flow(...)`. Nothing here runs anything."""
