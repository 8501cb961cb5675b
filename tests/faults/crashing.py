"""Settings of a server that may die at a point which ``tests.faults.points`` knows. Only tests load them."""

from autocode.settings.local import *  # noqa: F403 - settings modules are meant to be gathered
from autocode.settings.local import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.faults.points.Points"]
