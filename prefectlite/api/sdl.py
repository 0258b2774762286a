"""`python -m prefectlite.api.sdl` prints the schema in GraphQL's own language, for tools that generate clients."""

from __future__ import annotations

from graphql import print_schema

from prefectlite.api.schema import SCHEMA


def main() -> None:
    """Print the schema."""
    print(print_schema(SCHEMA))


if __name__ == "__main__":
    main()
