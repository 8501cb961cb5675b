"""REST addresses of agents, below ``/api/v1/``."""

from django.urls import include, path

from apps.agents.api import approvals, talk, views

_room = [
    path("messages/", talk.MessagesEndpoint.as_view(), name="messages"),
    path("feedback/", talk.FeedbackEndpoint.as_view(), name="feedback"),
    path("agents/", views.AgentsEndpoint.as_view(), name="agents"),
    path("runs/", views.RunsEndpoint.as_view(), name="runs"),
    path("runs/cancel/", talk.RunsCancelEndpoint.as_view(), name="runs-cancel"),
    path("runs/<str:run_id>/cancel/", talk.RunCancelEndpoint.as_view(), name="run-cancel"),
    path("tool-calls/<str:run_id>/<str:tool_call_id>/", views.ToolCallEndpoint.as_view(), name="tool-call"),
    path("approvals/", approvals.ApprovalsEndpoint.as_view(), name="approvals"),
    path("approvals/<str:approval_id>/decision/", approvals.DecisionEndpoint.as_view(), name="decision"),
    path("approval-rules/", approvals.RulesEndpoint.as_view(), name="approval-rules"),
    path("approval-rules/<str:rule_id>/", approvals.RuleEndpoint.as_view(), name="approval-rule"),
    path("usage/", views.UsageEndpoint.as_view(), name="usage"),
    path("link/", views.LinkEndpoint.as_view(), name="link"),
]

urlpatterns = [
    path("inbox/", views.InboxEndpoint.as_view(), name="inbox"),
    path("projects/<str:guid>/", include(_room)),
]
