"""What goes on beside the runs: the agent that begins those that are due, and the rescuer of those whose process is gone."""
