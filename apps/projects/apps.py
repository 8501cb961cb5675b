"""Projects: rooms, what is in them, and the log. Knows nothing of sockets or of the agents-server."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """The projects app."""

    name = "apps.projects"
    label = "projects"

    def ready(self) -> None:
        """Connect the receivers."""
        from apps.projects import receivers  # noqa: F401 - connects itself
