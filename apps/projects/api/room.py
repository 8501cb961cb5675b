"""What else a room shows: stages, plans, file locks, notifications."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.openapi import IDEMPOTENCY_KEY
from apps.projects.api.base import PAGE, ROOM, WRITE, RoomEndpoint, described
from apps.projects.api.bodies import LockRelease
from apps.projects.api.shown import part_of
from apps.projects.events import FileLocksUpdate, LockView, NotificationView, PlanView, StageView
from apps.projects.pagination import Page
from apps.projects.selectors import lists
from apps.projects.services.locks import FileLockService
from apps.projects.wire import lock_view, notification_view, plan_view, stage_view


class StagesEndpoint(RoomEndpoint):
    """The stages."""

    @described("listStages", returns=Page[StageView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the stages in the order of the work."""
        return self.page(lists.stages(self.access(guid).project_id), stage_view, order=("position", "id"))


class PlansEndpoint(RoomEndpoint):
    """The plans."""

    @described("listPlans", returns=Page[PlanView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the agents' plans, the one that counts first."""
        return self.page(lists.plans(self.access(guid).project_id), plan_view, order=("-seq",))


class LocksEndpoint(RoomEndpoint):
    """The file locks."""

    @described("listLocks", returns=Page[LockView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the file locks, the newest first."""
        return self.page(lists.locks(self.access(guid).project_id), lock_view)


class LockReleaseEndpoint(RoomEndpoint):
    """Taking a lock away."""

    @described("releaseLock", takes=LockRelease, returns=FileLocksUpdate, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, guid: str) -> Response:
        """Take the lock of a path away from its holder (maintainers); the answer is the whole set that is left."""
        access = self.access(guid, "lock.release")
        path = self.body(LockRelease).path
        service = FileLockService(self.actor)

        def release() -> dict[str, object]:
            event = service.release(guid=access.guid, path=path)
            return {name: part_of(event, name) for name in ("version", "locks", "changed")}

        return self.carry_out(release)


class NotificationsEndpoint(RoomEndpoint):
    """What somebody should look at."""

    @described("listNotifications", returns=Page[NotificationView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the notifications for me and for the room, the newest first."""
        rows = lists.notifications(self.access(guid).project_id, user_id=self.user.pk)
        return self.page(rows, notification_view, order=("-seq",))
