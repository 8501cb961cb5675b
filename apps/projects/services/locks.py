"""File locks: told by the agents as a whole set, released by people one by one, ended by time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from apps.accounts.database_clock import database_now
from apps.core.errors import NotFound
from apps.projects.events import ActorRef, FileLocksUpdate, LockChange, LockMode, LockWaiter
from apps.projects.models import FileLock, Project
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, text
from apps.projects.services.log import ProjectLog
from apps.projects.wire import lock_view


@dataclass(frozen=True, slots=True)
class Held:
    """A lock as its holder tells it. ``expires_in_s`` seconds from now; None: until it is released."""

    path: str
    holder: ActorRef
    mode: LockMode = LockMode.EXCLUSIVE
    task_id: str | None = None
    reason: str = ""
    expires_in_s: int | None = None
    waiters: list[LockWaiter] = field(default_factory=list)


class FileLockService(Service):
    """Keeps the set of locks; every change sends the whole set, also when it became empty."""

    def replace(self, *, guid: UUID | str, locks: list[Held]) -> LoggedEvent | None:
        """Make ``locks`` the whole set. Locks that stay keep their ``acquired_at``. None when nothing changed."""
        with self.log(guid) as log:
            log.require("stage.update")
            before = {(lock.path, lock.holder["id"]): lock for lock in FileLock.objects.filter(project=log.project)}
            changes: list[LockChange] = []
            moved = False
            for held in locks:
                old = before.pop((held.path, held.holder.id), None)
                if old is None:
                    changes.append(LockChange(path=held.path, op="acquired"))
                moved |= self._save(log, held, old)
            changes += [LockChange(path=lock.path, op="released") for lock in before.values()]
            FileLock.objects.filter(pk__in=[lock.pk for lock in before.values()]).delete()
            return self._record(log, changes) if changes or moved else None

    def release(self, *, guid: UUID | str, path: str) -> LoggedEvent:
        """Take a lock away from its holder (a maintainer's right). Raises ``NotFound``."""
        with self.log(guid) as log:
            log.require("lock.release")
            gone, _ = FileLock.objects.filter(project=log.project, path=path).delete()
            if not gone:
                raise NotFound("There is no such lock.", field="path")
            return self._record(log, [LockChange(path=path, op="stolen")])

    def expire_due(self, *, guid: UUID | str) -> LoggedEvent | None:
        """End the locks whose time is over; None when there are none."""
        with self.log(guid) as log:
            due = list(FileLock.objects.filter(project=log.project, expires_at__lte=database_now()))
            if not due:
                return None
            FileLock.objects.filter(pk__in=[lock.pk for lock in due]).delete()
            return self._record(log, [LockChange(path=lock.path, op="expired") for lock in due])

    def _save(self, log: ProjectLog, held: Held, old: FileLock | None) -> bool:
        """Write one lock; return whether it differs from before."""
        lock = old or FileLock(project=log.project, path=text(held.path, field="path", longest=500))
        expires = database_now() + dt.timedelta(seconds=held.expires_in_s) if held.expires_in_s else None
        values = {
            "mode": held.mode.value,
            "holder": msgspec.to_builtins(held.holder),
            "task_key": held.task_id or "",
            "reason": held.reason,
            "waiters": msgspec.to_builtins(held.waiters),
        }
        same = old is not None and all(getattr(lock, name) == value for name, value in values.items())
        if same and expires is None and lock.expires_at is None:
            return False
        for name, value in values.items():
            setattr(lock, name, value)
        lock.expires_at = expires
        lock.save()
        return True

    def _record(self, log: ProjectLog, changes: list[LockChange]) -> LoggedEvent:
        log.project.locks_version += 1
        Project.objects.filter(pk=log.project.pk).update(locks_version=log.project.locks_version)
        locks = [lock_view(lock) for lock in FileLock.objects.filter(project=log.project)]
        return log.record(FileLocksUpdate(version=log.project.locks_version, locks=locks, changed=changes))
