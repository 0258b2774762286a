"""What is said to the world outside when something happens to a run: the words, and the ways they go."""
