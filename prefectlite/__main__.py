"""`python -m prefectlite`."""

from prefectlite.cli import main

if __name__ == "__main__":
    main()
