"""What people say to agents: messages, feedback, stopping a run."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.openapi import IDEMPOTENCY_KEY
from apps.agents import events as a
from apps.agents.api.bodies import CancelAnswer, CancelManyRequest, CancelRequest, ChatMessage, NewFeedback
from apps.agents.selectors.work import feedback_of, runs_of
from apps.agents.services.chat import ChatService
from apps.agents.services.feedback import FeedbackService
from apps.agents.services.runs import RunService
from apps.agents.wire import feedback_view
from apps.core.errors import NotFound
from apps.projects.api.base import PAGE, ROOM, WRITE, RoomEndpoint, described, in_path, integer, query
from apps.projects.api.shown import part_of
from apps.projects.events import MessageView
from apps.projects.pagination import Page
from apps.projects.selectors import lists
from apps.projects.wire import message_view


class MessagesEndpoint(RoomEndpoint):
    """The messages of the room."""

    @described(
        "listMessages",
        returns=Page[MessageView],
        errors=(400, *ROOM),
        parameters=[
            *PAGE,
            query(
                "before", {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}, "Only those with a smaller ``seq``."
            ),
        ],
    )
    def get(self, request: Request, guid: str) -> Response:
        """List the finished messages of every source, the newest first."""
        access = self.access(guid)
        before = integer(request.query_params.get("before"), "before")
        return self.page(lists.messages(access.project_id, before=before), message_view, order=("-seq",))

    @described(
        "postMessage", takes=ChatMessage, returns=MessageView, status=201, errors=WRITE, parameters=[IDEMPOTENCY_KEY]
    )
    def post(self, request: Request, guid: str) -> Response:
        """Say something in the room; the agents hear it too. A reply to a question that waits answers it."""
        access = self.access(guid, "message.post")
        said = structs.asdict(self.body(ChatMessage))
        said["on_busy"] = said["on_busy"].value
        service = ChatService(self.actor)

        def send() -> MessageView:
            event = service.send(guid=access.guid, **said)
            return message_view(lists.message(access.project_id, part_of(event, "messageId")))

        return self.carry_out(send, status=201)


class FeedbackEndpoint(RoomEndpoint):
    """Feedback to agents."""

    @described("listFeedback", returns=Page[a.FeedbackView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the feedback and what became of it, the newest first."""
        return self.page(feedback_of(self.access(guid).guid), feedback_view, order=("-seq",))

    @described(
        "sendFeedback",
        takes=NewFeedback,
        returns=a.FeedbackView,
        status=201,
        errors=WRITE,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, guid: str) -> Response:
        """Tell the agents what to change. Its ``state`` follows its way; each step is an event of the room."""
        access = self.access(guid, "feedback.send")
        new = self.body(NewFeedback)
        wanted = {name: getattr(new, name) for name in new.__struct_fields__}
        service = FeedbackService(self.actor)

        def send() -> Any:
            event = service.send(guid=access.guid, **wanted)
            return part_of(event, "feedback") | {"seq": event.seq}

        return self.carry_out(send, status=201)


class RunCancelEndpoint(RoomEndpoint):
    """Stopping a run."""

    @described(
        "cancelRun",
        takes=CancelRequest,
        returns=CancelAnswer,
        status=202,
        errors=WRITE,
        parameters=[in_path("run_id", "The run's ``runId``."), IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, guid: str, run_id: str) -> Response:
        """Ask the agents to stop a run; 409 when it has ended."""
        access, run_id = self.access(guid, "run.cancel"), self.known_id(run_id)
        wish = self.body(CancelRequest)
        if not runs_of(access.guid).filter(key=run_id).exists():
            raise NotFound("There is no such run.", field="runId")
        service = RunService(self.actor)

        def cancel() -> CancelAnswer:
            event = service.cancel(guid=access.guid, run_id=run_id, mode=wish.mode.value, reason=wish.reason)
            return CancelAnswer(asked=event is not None)

        return self.carry_out(cancel, status=202)


class RunsCancelEndpoint(RoomEndpoint):
    """Stopping many runs."""

    @described(
        "cancelRuns",
        takes=CancelManyRequest,
        returns=CancelAnswer,
        status=202,
        errors=WRITE,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, guid: str) -> Response:
        """Ask the agents to stop the runs of one agent, or all runs of the project; 409 when nothing is running."""
        access = self.access(guid, "run.cancel")
        wish = self.body(CancelManyRequest)
        service = RunService(self.actor)

        def cancel() -> CancelAnswer:
            event = service.cancel(guid=access.guid, agent_id=wish.agent_id, mode=wish.mode.value, reason=wish.reason)
            return CancelAnswer(asked=event is not None)

        return self.carry_out(cancel, status=202)
