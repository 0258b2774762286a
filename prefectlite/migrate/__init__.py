"""Code written for Prefect 1.x, read without being run: what changes for prefectlite, and what has to be done by hand."""
