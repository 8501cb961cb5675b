"""The realtime app."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """The realtime app."""

    name = "apps.realtime"
    label = "realtime"
