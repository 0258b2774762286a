"""`python -m tests.simulation SEED…`: play seeds again, and tell all that happened. `FIRST-LAST` plays many, briefly."""

from __future__ import annotations

import sys
import time

from tests.simulation.simulate import simulate


def main(arguments: list[str]) -> int:
    """The number of seeds that failed."""
    failed = 0
    for argument in arguments:
        first, _, last = argument.partition("-")
        began = time.perf_counter()
        for seed in range(int(first), int(last or first) + 1):
            outcome = simulate(seed)
            if not last:
                print("\n".join(outcome.trace))
                print(f"digest {outcome.digest}")
            if outcome.violations:
                failed += 1
                print(f"seed {seed}: {outcome.told}", flush=True)
        print(f"{argument}: {failed} failed, {time.perf_counter() - began:.1f} s")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
