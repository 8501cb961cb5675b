"""The stages of a project's work."""

from __future__ import annotations

from uuid import UUID

from apps.core import clock
from apps.projects.events import ProjectStageUpdate, StageStatus
from apps.projects.models import Stage
from apps.projects.records import LoggedEvent
from apps.projects.services.base import Service, changed, key, text
from apps.projects.services.log import ProjectLog
from apps.projects.wire import stage_view

_ENDED = frozenset({StageStatus.DONE, StageStatus.FAILED, StageStatus.SKIPPED})


class ProjectStageService(Service):
    """Makes and moves stages."""

    def update(
        self,
        *,
        guid: UUID | str,
        stage_key: str,
        name: str | None = None,
        position: int | None = None,
        status: StageStatus | None = None,
        progress: float | None = None,
        summary: str | None = None,
        failed_reason: str | None = None,
    ) -> LoggedEvent | None:
        """Make the stage ``stage_key`` or change what is given; return the event, or None when nothing changed.

        ``progress`` is 0-1; a stage that is done has 1. The start is stamped when it first leaves ``pending``, the
        end when it
        is done, failed or skipped (and removed when it goes on).
        """
        with self.log(guid) as log:
            log.require("stage.update")
            stage = Stage.objects.filter(project=log.project, key=stage_key).first()
            new = stage is None
            if stage is None:
                stage = self._new(log, stage_key, name, position)
            previous = None if new else StageStatus(stage.status)
            difference = changed(
                stage,
                name=None if name is None else text(name, field="name", longest=120),
                position=position,
                status=None if status is None else status.value,
                progress=None if progress is None else min(1.0, max(0.0, progress)),
                summary=None if summary is None else text(summary, field="summary", longest=500, blank=True),
                failed_reason=None
                if failed_reason is None
                else text(failed_reason, field="failedReason", longest=500, blank=True),
            )
            if not new and not difference:
                return None
            self._stamp(stage)
            stage.version += 0 if new else 1
            stage.save()
            return log.record(ProjectStageUpdate(stage=stage_view(stage), previous=previous))

    def _new(self, log: ProjectLog, stage_key: str, name: str | None, position: int | None) -> Stage:
        if position is None:
            position = Stage.objects.filter(project=log.project).count()
        return Stage(
            project=log.project,
            key=key(stage_key, field="key"),
            name=text(name or stage_key, field="name", longest=120),
            position=position,
        )

    def _stamp(self, stage: Stage) -> None:
        status = StageStatus(stage.status)
        if status is not StageStatus.PENDING and stage.started_at is None:
            stage.started_at = clock.now()
        if status in _ENDED:
            stage.finished_at = stage.finished_at or clock.now()
            if status is StageStatus.DONE:
                stage.progress = 1.0
        else:
            stage.finished_at = None
