"""Django's sessions to identities, for connections that bring a cookie."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from apps.accounts.identity import Identity
from apps.accounts.models import User
from apps.accounts.session_store import session_hash as session_hash
from apps.accounts.tokens import identity_of
from apps.core.errors import NotAuthenticated


def user_from_session(session_key: str) -> Identity:
    """Return who is logged in with this session. Raises ``NotAuthenticated`` for any other session key."""
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user_id, backend = store.get(SESSION_KEY), store.get(BACKEND_SESSION_KEY)
    if user_id is None or backend not in settings.AUTHENTICATION_BACKENDS:
        raise NotAuthenticated
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not constant_time_compare(store.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        raise NotAuthenticated
    return identity_of(user, expires_at=store.get_expiry_date(), session_hash=session_hash(session_key))
