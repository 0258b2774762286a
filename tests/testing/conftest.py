"""The plugin's fixtures, also where prefectlite is not installed and pytest does not find them by itself."""

from __future__ import annotations

from prefectlite.testing.plugin import prefectlite_clock as prefectlite_clock
from prefectlite.testing.plugin import prefectlite_database as prefectlite_database
from prefectlite.testing.plugin import prefectlite_injecting as prefectlite_injecting
