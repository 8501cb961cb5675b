"""The only place where a project's state changes."""
