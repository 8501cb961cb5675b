"""A site whose pages' files were not collected does not start; one whose were shows its pages."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client

from apps.realtime.collected import uncollected


@pytest.fixture
def site(settings, tmp_path):
    """The storage of a site, and nothing in it."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    }


def errors() -> list[str]:
    return [found.id or "" for found in run_checks(include_deployment_checks=True) if found.id == "autocode.E003"]


@pytest.mark.django_db
def test_a_site_starts_when_its_files_are_collected_and_not_before(site, settings, capsys, tmp_path):
    assert "dashboard/css/tokens.css" in uncollected()
    assert errors() == ["autocode.E003"]
    with pytest.raises(SystemExit):
        call_command("serve")
    assert "collectstatic" in capsys.readouterr().err
    call_command("collectstatic", interactive=False, verbosity=0)
    settings.STORAGES = dict(settings.STORAGES)  # read anew, as the next process does
    assert uncollected() == errors() == []
    page = Client().get("/admin/login/")
    assert page.status_code == 200
    assert "dashboard/css/tokens." in page.content.decode()
    assert "dashboard/css/tokens.css" not in page.content.decode()


def test_where_nothing_is_collected_nothing_is_missing():
    assert uncollected() == []
