"""The one door: every change of a state, by anyone, is a proposal to an Orchestrator."""
