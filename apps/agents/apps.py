"""The agents app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The agents app."""

    name = "apps.agents"
    label = "agents"

    def ready(self) -> None:
        """Connect the receivers to the log's signal."""
        from apps.agents import receivers
        from apps.projects.signals import event_recorded

        event_recorded.connect(receivers.tell_agents, dispatch_uid="agents.tell_agents")
        event_recorded.connect(receivers.notify_mentioned, dispatch_uid="agents.notify_mentioned")
