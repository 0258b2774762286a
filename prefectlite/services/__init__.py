"""What goes on beside the runs: the agent begins those that are due, the rescuer takes up those whose process is gone,
and retention deletes those that are too old."""
