"""What the modules of one floor leave here for each other, so that none of them has to import upwards or in a circle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Collection type -> a function that takes a value of it and a graph (None: the one being written), and returns the task
#: which builds the value from its members' results.
collection_tasks: dict[type, Callable[[Any, Any], Any]] = {}
#: Makes the task whose result is a constant.
constant_task: list[Callable[[Any], Any]] = []
#: Class name -> the class of the tasks that an operator between tasks makes.
operator_tasks: dict[str, Callable[..., Any]] = {}
#: Gives the secret of a name. Blocks, so that it is called in threads.
secret_reader: list[Callable[[str], Any]] = []
