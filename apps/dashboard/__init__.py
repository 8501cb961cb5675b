"""The pages: the only place that knows HTML. Has no tables."""
