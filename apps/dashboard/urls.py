"""The addresses of pages."""

from django.urls import path

from apps.dashboard import views

app_name = "dashboard"

urlpatterns = [
    path("", views.home, name="home"),
    path("projects/new/", views.new, name="new"),
    path("projects/<uuid:guid>/", views.room, name="room"),
    path("projects/<uuid:guid>/about/", views.project, name="project"),
    path("projects/<uuid:guid>/members/", views.members, name="members"),
    path("logout/", views.LogOut.as_view(), name="logout"),
]
