"""What a project is called and what it is for, as a form; and briefs to start from."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from uuid import uuid4

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.projects.services.projects import BRIEF, DESCRIPTION, NAME


class TextField(forms.CharField):
    """Text with line breaks as everybody else writes them: a browser sends each as two characters."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)


class ProjectForm(forms.Form):
    """What a project is. Lengths are the service's."""

    name = TextField(
        max_length=NAME,
        error_messages={"required": _("Give it a name.")},
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    description = TextField(
        max_length=DESCRIPTION,
        required=False,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    brief = TextField(
        max_length=BRIEF,
        error_messages={"required": _("Say what the agents should build.")},
        widget=forms.Textarea(attrs={"class": "input", "rows": 10}),
    )


class NewProject(ProjectForm):
    """What a project begins with, and the guid that it will have: a form that is sent twice makes one project."""

    guid = forms.UUIDField(required=False, initial=uuid4, widget=forms.HiddenInput)
    start = forms.BooleanField(required=False, initial=True)


class ChangedProject(ProjectForm):
    """What of a project somebody changes: what differs from what the page showed them, and nothing else.

    ``texts`` is what the project says now. The page carries a digest of what it showed; what both its reader and
    somebody else have changed since is refused once, so that nobody's words go without being seen.
    """

    TEXTS: Final = ("name", "description", "brief")

    def __init__(self, data: Any = None, *, texts: dict[str, str]) -> None:
        super().__init__(data, initial=texts)
        self.shown_now = ".".join(_digest(texts[name]) for name in self.TEXTS)
        """For the page."""

    def clean(self) -> dict[str, Any]:
        """Leave only what is changed. Adds an error to each text that somebody else has changed too."""
        cleaned = super().clean() or {}
        now = dict(zip(self.TEXTS, self.shown_now.split("."), strict=True))
        shown = dict(zip(self.TEXTS, self.data.get("shown", "").split("."), strict=False))
        for name in self.TEXTS:
            if shown.get(name) and name in cleaned:
                mine = _digest(cleaned[name])
                if mine in {shown[name], now[name]}:
                    del cleaned[name]
                elif shown[name] != now[name]:
                    self.add_error(
                        name, _("Somebody else has changed this since you opened the page. Save again to replace it.")
                    )
        return cleaned


def _digest(text: str) -> str:
    """Return a short name of a text, alike for forms of it that a browser cannot tell apart."""
    return hashlib.sha256(text.replace("\r\n", "\n").strip().encode()).hexdigest()[:16]


EXAMPLES = (
    {
        "name": "To-do API",
        "description": "A small web service that keeps a to-do list.",
        "brief": "Build a REST API for a to-do list: list, create, change, complete and delete items, kept in SQLite,"
        " with the standard library alone.\n\nEvery item has a title and a state. Wrong input gets a clear error, never"
        " a stack trace.\n\nDone when the tests pass and a short README says how to run it.",
    },
    {
        "name": "Table formatter",
        "description": "Makes the columns of Markdown tables line up.",
        "brief": "Write a Markdown table formatter: it reads Markdown from standard input, lines up the columns of"
        " every table in it and leaves everything else exactly as it was. Keep the alignment marks.\n\nDone when the"
        " tests cover tables with and without alignment, wide characters, and text that only looks like a table.",
    },
    {
        "name": "Fix a bug",
        "description": "Durations are wrong around midnight.",
        "brief": "Durations that span midnight come out negative. Reproduce it with a failing test first, then fix it"
        " with the smallest change that makes the test pass.\n\nDone when all tests pass and you have said in two"
        " sentences what was wrong.",
    },
)
"""Briefs that show how one is written: what, what not, and when it is done."""
