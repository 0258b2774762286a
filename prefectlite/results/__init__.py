"""How the values that tasks return are kept."""
