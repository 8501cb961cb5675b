"""Notices for one member or for the room."""

from __future__ import annotations

import datetime as dt
import re
from uuid import UUID

from apps.core import clock
from apps.core.ids import uuid7
from apps.projects import models
from apps.projects.events import Notification, NotificationKind, Severity
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, text
from apps.projects.wire import moment

_OWN = re.compile(r"(?:#|/(?![/\\]))[!-~]*")
"""An address within the site. Browsers read ``\\`` as ``/`` and skip tabs and line breaks, so neither may be in one."""


class NotificationService(Service):
    """Records notifications."""

    def notify(
        self,
        *,
        guid: UUID | str,
        kind: NotificationKind,
        title: str,
        body: str = "",
        severity: Severity = Severity.INFO,
        user_id: str | None = None,
        username: str | None = None,
        link: str = "",
        expires_in_s: int | None = None,
    ) -> LoggedEvent | None:
        """Notify one member (by id or username) or, with neither, the room. None when the person is no member."""
        with self.log(guid) as log:
            if user_id is not None or username is not None:
                found = models.Membership.objects.filter(project=log.project)
                found = found.filter(user_id=user_id) if user_id else found.filter(user__username=username)
                member = found.values_list("user_id", flat=True).first()
                if member is None:
                    return None
                user_id = str(member)
            expires = clock.now() + dt.timedelta(seconds=expires_in_s) if expires_in_s else None
            note_id = uuid7()
            title = text(title, field="title", longest=200)
            body = text(body, field="body", longest=500, blank=True)
            link = link if _OWN.fullmatch(link) else ""
            event = log.record(
                Notification(
                    notification_id=str(note_id),
                    severity=severity,
                    kind=kind,
                    title=title,
                    body=body,
                    link=link,
                    user_id=user_id,
                    expires_at=moment(expires),
                )
            )
            models.Notification.objects.create(
                id=note_id,
                project=log.project,
                seq=event.seq,
                user_id=user_id,
                severity=severity.value,
                kind=kind.value,
                title=title,
                body=body,
                link=link,
                expires_at=expires,
                created_at=event.at,
            )
            return event
