"""The words for states on pages that the server draws. The room's own words stand in ``js/lib/words.js``."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.projects.events import ProjectStatus, StageStatus

PROJECT = {
    ProjectStatus.DRAFT: (_("Draft"), "hollow"),
    ProjectStatus.IN_PROGRESS: (_("In progress"), "ok"),
    ProjectStatus.WAITING_USER: (_("Waiting for you"), "warn"),
    ProjectStatus.PAUSED: (_("Paused"), "hollow"),
    ProjectStatus.DONE: (_("Done"), "ok"),
    ProjectStatus.FAILED: (_("Failed"), "bad"),
    ProjectStatus.CANCELLED: (_("Cancelled"), "hollow"),
    ProjectStatus.ARCHIVED: (_("Archived"), "hollow"),
}
"""status → (words, tone of the dot)."""

STAGE = {
    StageStatus.PENDING: _("not started"),
    StageStatus.IN_PROGRESS: _("in progress"),
    StageStatus.WAITING_USER: _("waiting for you"),
    StageStatus.PAUSED: _("paused"),
    StageStatus.DONE: _("done"),
    StageStatus.FAILED: _("failed"),
    StageStatus.SKIPPED: _("skipped"),
}
