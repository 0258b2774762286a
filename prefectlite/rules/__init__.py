"""The rules of the one door, as pure functions: a snapshot and a proposal go in, a verdict comes out."""
