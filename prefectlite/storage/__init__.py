"""Where the code of registered flows is, and how it is found again."""
