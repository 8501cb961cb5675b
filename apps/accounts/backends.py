"""Who may log in with a password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from apps.core.actor import ActorKind


class PeopleBackend(ModelBackend):
    """Active people. Agents speak through the link, and the system to nobody: a password would make one a person."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and getattr(user, "kind", None) == ActorKind.PERSON.value
