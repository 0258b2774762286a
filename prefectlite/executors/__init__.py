"""Where the code of tasks runs."""
