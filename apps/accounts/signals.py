"""What accounts tell the apps above them.

``access_ended``  after the commit; arguments ``user_id`` (str) and ``reason`` (password, deactivated, ended, deleted):
                  every open access of that user is over. Accounts know no rooms; ``apps.projects.receivers`` does.
"""

from functools import partial

from django.db import transaction
from django.dispatch import Signal

access_ended = Signal()


def announce_end(user_id: str, reason: str) -> None:
    """Tell the apps above, once the transaction is committed, that every access of the user is over."""
    transaction.on_commit(partial(access_ended.send_robust, sender=None, user_id=user_id, reason=reason))
