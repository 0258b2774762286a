"""News: what was committed, told to whoever listens. A hint, never the truth: the record is."""
