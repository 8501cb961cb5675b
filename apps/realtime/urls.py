"""HTTP addresses of the rooms."""

from django.urls import path

from apps.realtime import views

_ROOM = "api/v1/projects/<uuid:guid>"

urlpatterns = [
    path(f"{_ROOM}/events/", views.events, name="room-events"),
    path(f"{_ROOM}/events/stream/", views.event_stream, name="room-event-stream"),
    path(f"{_ROOM}/snapshot/", views.snapshot, name="room-snapshot"),
    path(f"{_ROOM}/commands/", views.commands, name="room-commands"),
    path("api/asyncapi.json", views.asyncapi, name="asyncapi"),
]
