"""Where things are: the repository, the data directory, and the environment as read."""

from pathlib import Path

from autocode import env

ENVIRONMENT = env.read()
BASE_DIR = Path(__file__).resolve().parents[3]
AUTOCODE_DATA = BASE_DIR / ENVIRONMENT.text("AUTOCODE_DATA")  # an absolute value wins over BASE_DIR
