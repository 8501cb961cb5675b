"""Reading users."""

from __future__ import annotations

from collections.abc import Collection

from apps.accounts.models import User


def access_versions(user_ids: Collection[str]) -> dict[str, int]:
    """Return the present ``access_version`` of these users; who is missing is gone or not active. One query."""
    rows = User.objects.filter(pk__in=user_ids, is_active=True).values_list("pk", "access_version")
    return {str(pk): version for pk, version in rows}
