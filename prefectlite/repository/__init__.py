"""The record: one text of SQL for every database, behind a protocol that the orchestrator and the API share."""
