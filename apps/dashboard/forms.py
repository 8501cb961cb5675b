"""What a project is called and what it is for, as a form; and briefs to start from."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.projects.services.projects import BRIEF, DESCRIPTION, NAME


class ProjectForm(forms.Form):
    """What a project is. Lengths are the service's."""

    name = forms.CharField(
        max_length=NAME,
        error_messages={"required": _("Give it a name.")},
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    description = forms.CharField(
        max_length=DESCRIPTION,
        required=False,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    brief = forms.CharField(
        max_length=BRIEF,
        error_messages={"required": _("Say what the agents should build.")},
        widget=forms.Textarea(attrs={"class": "input", "rows": 10}),
    )


class NewProject(ProjectForm):
    """What a project begins with."""

    start = forms.BooleanField(required=False, initial=True)


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
