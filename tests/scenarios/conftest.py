"""What several scenarios need."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture
def ports() -> list[int]:
    """Two ports that nothing listens on."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in (one, other)]
