"""The engine: executes graphs. It knows graphs and the ports of the orchestrator, never flows or the database."""
