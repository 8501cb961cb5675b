"""Small things that templates draw: icons, initials, relative times."""

from __future__ import annotations

import datetime as dt
import re

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from apps.core import clock
from apps.core.text import visible

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return the icon ``name`` of ``icons.svg``; it says nothing to screen readers."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("dashboard/icons.svg"), name
    )


@register.filter
def seen(text: str) -> str:
    """Return a text of others with what would hide or turn others' order marked, as the scripts show it."""
    return visible(str(text))


@register.filter
def initials(name: str) -> str:
    """Return one or two letters for a name, as the scripts do it."""
    parts = [part for part in re.split(r"[\s._-]+", name) if part]
    if not parts:
        return "?"
    return (parts[0][0] + (parts[-1][0] if len(parts) > 1 else "")).upper()


@register.filter
def ago(moment: dt.datetime) -> str:
    """Return how long ago ``moment`` was, in words."""
    seconds = (clock.now() - moment).total_seconds()
    if seconds < 45:
        return gettext("just now")
    if seconds < 3600:
        return gettext("%(n)d min ago") % {"n": max(1, round(seconds / 60))}
    if seconds < 86_400:
        return gettext("%(n)d h ago") % {"n": round(seconds / 3600)}
    days = round(seconds / 86_400)
    return ngettext("yesterday", "%(n)d days ago", days) % {"n": days}
