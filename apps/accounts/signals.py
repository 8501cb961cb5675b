"""What accounts tell the apps above them.

``access_ended``  after the commit; arguments ``user_id`` (str), ``reason`` (password, deactivated, demoted, ended,
                  deleted, logout, reuse) and ``session`` (str or None): the open access of that login is over, or
                  every access of the user. Accounts know no rooms; ``apps.projects.receivers`` does.
"""

from functools import partial

from django.db import transaction
from django.dispatch import Signal

access_ended = Signal()


def announce_end(user_id: str, reason: str, session: str | None = None) -> None:
    """Tell the apps above, once the transaction is committed, that a login, or every access of the user, is over."""
    transaction.on_commit(
        partial(access_ended.send_robust, sender=None, user_id=user_id, reason=reason, session=session)
    )
