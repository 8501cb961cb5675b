"""The login page's form."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from apps.accounts.throttling import AddressLoginThrottle, NameLoginThrottle, address_key, name_key

LONGEST_PASSWORD: Final = 4_096
"""Characters; as over REST."""


class LoginForm(AuthenticationForm):
    """Lets everybody in who has a password, not staff alone: the administration's login is the site's login.

    What the administration shows is checked there again. Attempts are counted together with those over REST.
    """

    def clean(self) -> dict[str, Any]:
        """Count the attempt before the password is looked at. Raises ``ValidationError``."""
        wait = max(
            AddressLoginThrottle().wait_for(address_key(self.request)) if self.request else 0.0,
            NameLoginThrottle().wait_for(name_key(self.cleaned_data.get("username"))),
        )
        if wait:
            raise ValidationError(f"Too many attempts. Try again in {int(wait) + 1} seconds.", code="throttled")
        if len(self.cleaned_data.get("password") or "") > LONGEST_PASSWORD:
            raise self.get_invalid_login_error()  # hashing it would cost more than asking
        cleaned = super().clean()
        if self.get_user() is not None:
            NameLoginThrottle().forget(cleaned["username"])
        return cleaned
