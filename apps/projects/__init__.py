"""Projects: rooms, what is in them, and the log."""
