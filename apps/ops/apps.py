"""Operations: health, the demo, upkeep, checks of the configuration. Has no tables."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """The ops app."""

    name = "apps.ops"
    label = "ops"

    def ready(self) -> None:
        """Register the parts of readiness and the system checks."""
        from apps.ops import (
            checks,  # noqa: F401 - registers itself
            receivers,
        )
        from apps.ops.health import register_checks
        from apps.ops.metrics import register_collectors

        receivers.connect()
        register_checks()
        register_collectors()
