#!/usr/bin/env python
"""Django's command line for AutoCode; on a desk it uses the local settings unless told otherwise."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autocode.settings.local")
    # Imported here so that the module above is chosen before anything of Django looks for it.
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
