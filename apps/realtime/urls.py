"""HTTP addresses of the rooms, and their place in the API's description."""

from django.urls import path

from apps.accounts.api.openapi import also
from apps.realtime import openapi, views

also(openapi.paths, openapi.schemas)

_ROOM = "api/v1/projects/<uuid:guid>"

urlpatterns = [
    path(f"{_ROOM}/events/", views.events, name="room-events"),
    path(f"{_ROOM}/events/stream/", views.event_stream, name="room-event-stream"),
    path(f"{_ROOM}/snapshot/", views.snapshot, name="room-snapshot"),
    path(f"{_ROOM}/commands/", views.commands, name="room-commands"),
    path("api/asyncapi.json", views.asyncapi, name="asyncapi"),
]
