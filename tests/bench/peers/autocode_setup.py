"""Fills an empty AutoCode for the benchmark, through its services. Run with its Python, in its environment.

    python autocode_setup.py USERS ROOMS

Prints one JSON object: ``projects`` (guids) and ``tokens`` (for each project, access tokens of its members).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autocode.settings.production")

MEMBERS = 20
"""Members of each room, where there are many rooms; one room alone has every user as a member."""


def main(users: int, rooms: int) -> dict[str, object]:
    """Migrate, make ``users`` people and ``rooms`` projects with their members; return what a viewer needs."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import transaction

    from apps.accounts.services import AccountService, Person, TokenService
    from apps.core.actor import SYSTEM
    from apps.projects.permissions import Role
    from apps.projects.services.members import MembershipService
    from apps.projects.services.projects import ProjectService
    from apps.realtime.collected import uncollected

    if uncollected():
        call_command("collectstatic", interactive=False, verbosity=0, skip_checks=True)
    call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
    names = [f"viewer{number}" for number in range(users)]
    actors = AccountService(SYSTEM).ensure_people([Person(name) for name in ["owner", *names]], password="bench-secret")
    tokens = {
        user.get_username(): TokenService().begin(user)[0]
        for user in get_user_model().objects.filter(username__in=names)
    }
    projects, members = ProjectService(actors["owner"]), MembershipService(actors["owner"])
    guids, members_of = [], []
    for room in range(rooms):
        chosen = names if rooms == 1 else [names[(room * MEMBERS + k) % users] for k in range(min(MEMBERS, users))]
        with transaction.atomic():
            guid = projects.create(name=f"Room {room}", start=True).guid
            for name in chosen:
                members.add(guid=guid, username=name, role=Role.CONTRIBUTOR)
        guids.append(str(guid))
        members_of.append([tokens[name] for name in chosen])
    return {"projects": guids, "tokens": members_of}


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1]), int(sys.argv[2])), sys.stdout)
