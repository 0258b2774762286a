"""Benchmarks: `python -m tests.benchmarks` prints a table and, with `--json FILE`, writes the figures down.

They print numbers and assert nothing: what is fast enough depends on the machine, so the ratios to bare asyncio and to a
program written by hand, measured in the same process, are what to compare.
"""
