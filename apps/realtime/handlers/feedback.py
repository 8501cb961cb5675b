"""Feedback to the agents."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.agents.api.bodies import NewFeedback
from apps.agents.services.feedback import FeedbackService
from apps.realtime.commands import Rate, command
from apps.realtime.context import Context


class UserFeedback(NewFeedback):
    """Tell an agent what to change."""


@command("user_feedback", UserFeedback, needs="feedback.send", reply="user_feedback_response", rate=Rate.FEEDBACK)
async def user_feedback(context: Context, payload: UserFeedback) -> Any:
    """Send it; the answer is its first state, later ones are events."""
    service = FeedbackService(context.actor)
    fields = msgspec.structs.asdict(payload)

    def send() -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(service.send(guid=context.guid, **fields).data)
        return answer

    answer = await context.once(payload, send)
    answer.pop("duplicate", None)  # the answer has the event's form; its state says enough
    return answer
