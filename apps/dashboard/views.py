"""The pages. Each reads through selectors, writes through one service, and leaves everything live to the scripts."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LogoutView
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.agents.selectors.snapshot import room_snapshot
from apps.core.errors import AutoCodeError, NotFound
from apps.core.events import to_builtins
from apps.dashboard.cards import cards_for, side_list
from apps.dashboard.forms import EXAMPLES, ChangedProject, NewProject
from apps.projects.events import ProjectStatus
from apps.projects.permissions import Role, may, permissions_of
from apps.projects.selectors.access import Access, access_to
from apps.projects.selectors.projects import project_of
from apps.projects.services.projects import ProjectService

ROOM_SHEETS = (
    "tokens",
    "base",
    "overlays",
    "room",
    "topbar",
    "timeline",
    "calls",
    "rail",
    "panels",
    "board",
    "composer",
)


@never_cache
@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the person's projects."""
    cards = cards_for(_user_id(request))
    context = {"cards": cards, "waiting": sum(card.needs for card in cards)}
    return render(request, "dashboard/home.html", context)


@never_cache
@login_required
@require_safe
def room(request: HttpRequest, guid: UUID) -> HttpResponse:
    """Show a project's room with its state of this moment inside; for everybody else there is no such page."""
    try:
        access = access_to(_user_id(request), guid)
        snapshot = room_snapshot(access.project_id)
    except NotFound:
        return _not_found(request)
    context = {
        "guid": access.guid,
        "name": access.name,
        "snapshot": to_builtins(snapshot),
        "boot": _boot(request, access),
        "projects": side_list(_user_id(request)),
        "sheets": [f"dashboard/css/{name}.css" for name in ROOM_SHEETS],
    }
    return render(request, "dashboard/room.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Make a project and go to its room."""
    form = NewProject(request.POST or None)
    if request.method == "POST" and form.is_valid():
        guid = form.cleaned_data.pop("guid") or uuid4()
        try:
            with contextlib.suppress(IntegrityError):  # made already, if it is mine
                ProjectService(_user(request).actor).create(guid=guid, **form.cleaned_data)
            access_to(_user_id(request), guid)
        except NotFound:
            form.add_error(None, _("Open this page anew, please."))  # somebody else's guid
        except AutoCodeError as error:
            # The field's name comes from the service; one that the form does not have belongs to the form as a whole.
            form.add_error(error.field if error.field in form.fields else None, error.message)
        else:
            return HttpResponseRedirect(reverse("dashboard:room", kwargs={"guid": guid}))
    context = {"form": form, "examples": EXAMPLES}
    return render(request, "dashboard/new.html", context, status=400 if form.is_bound else 200)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def project(request: HttpRequest, guid: UUID) -> HttpResponse:
    """Show what the project is; who may, changes it, or archives it and takes it back."""
    try:
        access = access_to(_user_id(request), guid)
        found = project_of(access.project_id)
    except NotFound:
        return _not_found(request)
    archived = found.status == ProjectStatus.ARCHIVED.value
    texts = {"name": found.name, "description": found.description, "brief": found.brief}
    changing = request.method == "POST" and "archived" not in request.POST
    may_archive = may(access.role, "project.archive")
    # The script asks before it sends; where it is not there, or not yet, the page asks.
    asks = may_archive and request.POST.get("archived") == "yes" and "confirmed" not in request.POST
    form = ChangedProject(request.POST if changing else None, texts=texts)
    problem = ""
    try:
        if request.method == "POST" and not asks and (not changing or form.is_valid()):
            return _changed(request, access, form)
    except AutoCodeError as error:
        if changing and error.field in form.fields:
            form.add_error(error.field, error.message)
        else:
            problem = error.message
    context = {
        "guid": access.guid,
        "name": access.name,
        "form": form,
        "texts": texts,
        "archived": archived,
        "asks": asks,
        "may_update": may(access.role, "project.update") and not archived and not asks,
        "may_archive": may_archive,
        "problem": problem,
        "saved": "saved" in request.GET,
    }
    return render(request, "dashboard/project.html", context, status=400 if problem or form.errors else 200)


def _changed(request: HttpRequest, access: Access, form: ChangedProject) -> HttpResponse:
    """Carry out what the project's page was sent with and go on. Raises what the service raises."""
    service = ProjectService(_user(request).actor)
    here = reverse("dashboard:project", kwargs={"guid": access.guid})
    match request.POST.get("archived"):
        case None:
            service.update(guid=access.guid, **form.cleaned_data)
            return HttpResponseRedirect(f"{here}?saved")
        case "yes":
            service.set_status(guid=access.guid, status=ProjectStatus.ARCHIVED)
            return HttpResponseRedirect(reverse("dashboard:home"))
        case _:
            # Paused, not at work: whoever takes it back decides when the agents go on.
            service.set_status(guid=access.guid, status=ProjectStatus.PAUSED)
            return HttpResponseRedirect(here)


@never_cache
@login_required
@require_safe
def members(request: HttpRequest, guid: UUID) -> HttpResponse:
    """Show who is in the project; the list itself and its changes go over the REST API."""
    try:
        access = access_to(_user_id(request), guid, "member.view")
    except NotFound:
        return _not_found(request)
    context = {
        "guid": access.guid,
        "name": access.name,
        "boot": _boot(request, access),
        "may_manage": may(access.role, "member.manage"),
        "roles": [role.word for role in Role if role < Role.OWNER or may(access.role, "member.manage_owner")],
    }
    return render(request, "dashboard/members.html", context)


def _boot(request: HttpRequest, access: Access) -> dict[str, Any]:
    """Return what the scripts need before the first answer of the server."""
    return {
        "guid": access.guid,
        "userId": _user_id(request),
        "username": _user(request).get_username(),
        "role": access.role.word,
        "permissions": permissions_of(access.role),
        "readSeq": access.read_seq,
        "urls": {
            "home": reverse("dashboard:home"),
            "members": reverse("dashboard:members", kwargs={"guid": access.guid}),
        },
    }


def _user(request: HttpRequest) -> Any:
    """Return the logged-in user; ``login_required`` has made sure that there is one."""
    return request.user


def _user_id(request: HttpRequest) -> str:
    return str(_user(request).pk)


def _not_found(request: HttpRequest) -> HttpResponse:
    """Answer as for an address that leads nowhere, also with DEBUG, where Django's own page would tell more."""
    return render(request, "404.html", status=404)


class LogOut(LogoutView):
    """End this browser's session, and let the browser forget what it kept of the rooms."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().dispatch(request, *args, **kwargs)
        if request.method == "POST":
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response
