"""Settings: ``local`` (a desk and the demo), ``production`` (fails closed) and ``test``, all on top of ``base``."""
