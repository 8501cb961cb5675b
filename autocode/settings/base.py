"""What every environment shares. Not used alone: ``local``, ``production`` and ``test`` complete it."""

from autocode.settings.parts.applications import *  # noqa: F403 - settings modules are meant to be gathered
from autocode.settings.parts.database import *  # noqa: F403
from autocode.settings.parts.layers import *  # noqa: F403
from autocode.settings.parts.limits import *  # noqa: F403
from autocode.settings.parts.logging import *  # noqa: F403
from autocode.settings.parts.places import *  # noqa: F403
from autocode.settings.parts.rest import *  # noqa: F403
from autocode.settings.parts.security import *  # noqa: F403
from autocode.settings.parts.web import *  # noqa: F403
