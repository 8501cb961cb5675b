"""Pages of the administration whose actions are written into the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest

from apps.accounts.audit import Deed, record

SHOWN: Final = 50  # ids in one entry


if TYPE_CHECKING:  # only the stubs know the parameter
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class AuditedActions(ModelAdmin):
    """For every ``ModelAdmin`` that has actions of its own: whichever is carried out is written down."""

    def response_action(self, request: HttpRequest, queryset: Any, *place: Any) -> Any:
        """Carry the chosen action out, and write it down when it was one of ours."""
        response = super().response_action(request, queryset, *place)
        chosen, ids = request.POST.get("action", ""), request.POST.getlist(ACTION_CHECKBOX_NAME)
        if chosen in self.get_actions(request) and ids:
            user: Any = request.user
            model = queryset.model._meta  # noqa: SLF001 - Django's documented name
            record(Deed.ADMIN_ACTION, actor=user.actor, subject_name=chosen, model=str(model.label), ids=ids[:SHOWN])
        return response
