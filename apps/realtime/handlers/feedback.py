"""Feedback to the agents."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import field

from apps.agents.events import FeedbackMode, FeedbackTarget
from apps.core.events import Struct
from apps.realtime.commands import Rate, command
from apps.realtime.context import Context


class UserFeedback(Struct):
    """Tell an agent what to change. ``rating`` is 1-5."""

    content: Annotated[str, msgspec.Meta(min_length=1, max_length=32768)]
    target: FeedbackTarget = field(default_factory=FeedbackTarget)
    mode: FeedbackMode = FeedbackMode.QUEUE
    rating: Annotated[int, msgspec.Meta(ge=1, le=5)] | None = None
    expires_at: Annotated[str, msgspec.Meta(max_length=40)] | None = None


@command("user_feedback", UserFeedback, needs="feedback.send", reply="user_feedback_response", rate=Rate.FEEDBACK)
async def user_feedback(context: Context, payload: UserFeedback) -> Any:
    """Send it; the answer is its first state."""
    from apps.agents.services.feedback import FeedbackService

    service = FeedbackService(context.actor)
    return await context.once(
        payload,
        lambda: service.send(
            guid=context.guid,
            content=payload.content,
            target=payload.target,
            mode=payload.mode,
            rating=payload.rating,
            expires_at=payload.expires_at,
        ),
    )
