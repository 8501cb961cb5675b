"""Django's PostgreSQL backend with connections that are shared by threads, and quick to say when there are none."""
