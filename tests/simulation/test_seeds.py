"""What must never happen does not happen, whatever a seed says: 2,000 of them, ten times as many with `--long`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.simulate import simulate

#: So many seeds are one test, so that all cores get some.
CHUNK = 100


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chunk" in metafunc.fixturenames:
        metafunc.parametrize("chunk", range(200 if metafunc.config.getoption("--long") else 20))


def test_nothing_happens_that_must_not(chunk: int) -> None:
    failed = [outcome.told for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK) if (outcome := simulate(seed)).violations]
    assert not failed, "\n\n".join(failed)


@pytest.mark.parametrize("seed", [3, 334])
def test_a_seed_happens_again_as_it_did(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)
    assert first.trace == second.trace
    assert first.digest == second.digest
    assert len(first.trace) > 10


def test_a_seed_happens_again_in_another_process() -> None:
    command = [sys.executable, "-m", "tests.simulation", "7"]
    for hash_seed in ("1", "2"):  # sets of texts have another order
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        root = Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"digest {simulate(7).digest}" in done.stdout.splitlines()


def test_seeds_differ() -> None:
    assert len({simulate(seed).digest for seed in range(5)}) == 5
