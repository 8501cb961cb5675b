"""Logging, as ``autocode.logs`` describes it."""

from autocode.logs import configuration
from autocode.settings.parts.places import ENVIRONMENT

AUTOCODE_LOG_FORMAT = ENVIRONMENT.text("AUTOCODE_LOG_FORMAT")
AUTOCODE_LOG_LEVEL = ENVIRONMENT.text("AUTOCODE_LOG_LEVEL")
LOGGING = configuration(AUTOCODE_LOG_FORMAT, AUTOCODE_LOG_LEVEL)
