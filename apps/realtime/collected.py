"""Whether the files of the pages stand where a site serves them from: ``manage.py collectstatic`` puts them there."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.checks import CheckMessage, Error, Tags, register

HINT = "Run `manage.py collectstatic --noinput`, now and after each upgrade."


def uncollected() -> list[str]:
    """Return the names of files that pages may ask for and that were not collected; none where nothing is collected."""
    storage: Any = staticfiles_storage
    if not isinstance(storage, ManifestFilesMixin):
        return []
    ignored = apps.get_app_config("staticfiles").ignore_patterns  # type: ignore[attr-defined]
    names = set()
    for finder in get_finders():
        for name, place in finder.list(ignored):
            prefix = getattr(place, "prefix", "")  # of an entry of STATICFILES_DIRS that has one
            names.add(f"{prefix}/{name}" if prefix else name)
    return sorted(names - storage.hashed_files.keys())


@register(Tags.staticfiles, deploy=True)
def pages_have_their_files(**_: Any) -> list[CheckMessage]:
    """A page that names a file which was not collected is an error and no page."""
    missing = uncollected()
    if not missing:
        return []
    text = f"{len(missing)} files of the pages are not collected, {missing[0]} among them."
    return [Error(text, hint=HINT, id="autocode.E003")]
