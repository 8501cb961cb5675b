"""Reading users."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.sessions.models import Session

from apps.accounts.identity import Identity
from apps.accounts.models import TokenFamily, User, login_name
from apps.core import clock


def access_versions(user_ids: Collection[str]) -> dict[str, int]:
    """Return the present ``access_version`` of these users; who is missing is gone or not active. One query."""
    rows = User.objects.filter(pk__in=user_ids, is_active=True).values_list("pk", "access_version")
    return {str(pk): version for pk, version in rows}


def ended_logins(identities: Collection[Identity]) -> set[str]:
    """Return the ``session_hash`` of those logins that have ended: browser sessions and families of tokens.

    At most two queries, whatever their number.
    """
    families = {who.session_hash for who in identities if who.token_id is not None}
    sessions = {who.session_hash for who in identities} - families
    alive: set[str] = set()
    if sessions:
        # The table holds sessions under their hashes: see ``session_store``.
        rows = Session.objects.filter(session_key__in=sessions, expire_date__gt=clock.now())
        alive |= set(rows.values_list("session_key", flat=True))
    if families:
        ids = [name.removeprefix("tokens.") for name in families]
        rows_of_families = TokenFamily.objects.filter(pk__in=ids, ended_at=None)
        alive |= set(map(login_name, rows_of_families.values_list("pk", flat=True)))
    return (sessions | families) - alive
