"""What every app may use and what knows none of them: no Django, no network, no database."""
