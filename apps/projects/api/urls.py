"""REST addresses of projects, below ``/api/v1/``. Those that need agents stand in ``apps.agents.api.urls``."""

from django.urls import include, path

from apps.projects.api import members, room, tasks, views

_room = [
    path("", views.ProjectEndpoint.as_view(), name="project"),
    path("status/", views.ProjectStatusEndpoint.as_view(), name="project-status"),
    path("read/", views.ReadEndpoint.as_view(), name="project-read"),
    path("stages/", room.StagesEndpoint.as_view(), name="stages"),
    path("plans/", room.PlansEndpoint.as_view(), name="plans"),
    path("locks/", room.LocksEndpoint.as_view(), name="locks"),
    path("locks/release/", room.LockReleaseEndpoint.as_view(), name="lock-release"),
    path("notifications/", room.NotificationsEndpoint.as_view(), name="notifications"),
    path("tasks/", tasks.TasksEndpoint.as_view(), name="tasks"),
    path("tasks/reset/", tasks.TasksResetEndpoint.as_view(), name="tasks-reset"),
    path("tasks/<str:task_id>/", tasks.TaskEndpoint.as_view(), name="task"),
    path("tasks/<str:task_id>/status/", tasks.TaskStatusEndpoint.as_view(), name="task-status"),
    path("members/", members.MembersEndpoint.as_view(), name="members"),
    path("members/<str:user_id>/", members.MemberEndpoint.as_view(), name="member"),
]

urlpatterns = [
    path("projects/", views.ProjectsEndpoint.as_view(), name="projects"),
    path("projects/<str:guid>/", include(_room)),
]
