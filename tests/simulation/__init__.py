"""Whole processes of prefectlite, several at once, in one thread, in virtual time: a seed says what happens and when."""
