"""The only place where the agents' state changes."""
